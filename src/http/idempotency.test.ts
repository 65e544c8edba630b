// What becomes of a key when the Store is away for a while. All else: test/suites/api.
import type { FastifyReply, FastifyRequest } from "fastify";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import type { IdempotencyStore } from "../core/idempotency-store.ts";
import { type Store, StorageUnavailableError } from "../core/store.ts";
import { openSqliteStore } from "../storage/sql/sqlite.ts";
import { IdempotencyKeys } from "./idempotency.ts";

let store: Store;
let isAway: boolean;
const clock = new FakeClock();

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  store = await openSqliteStore({ path: ":memory:", clock });
  isAway = false;
});

afterEach(async () => {
  vi.useRealTimers();
  await store.close();
});

/** The keys on a Store that can be away: what is asked of it then is done or not, and is not answered. */
function keysOf(doneWhileAway: boolean): IdempotencyKeys {
  const away =
    <Given extends unknown[], T>(method: (...given: Given) => Promise<T>) =>
    async (...given: Given): Promise<T> => {
      if (!isAway) return method(...given);
      if (doneWhileAway) await method(...given);
      throw new StorageUnavailableError("away");
    };
  const { idempotency } = store;
  const flaky: IdempotencyStore = {
    begin: away((...given) => idempotency.begin(...given)),
    abandon: away((...given) => idempotency.abandon(...given)),
    sweep: (now) => idempotency.sweep(now),
  };
  return new IdempotencyKeys(flaky, clock);
}

const request = {
  headers: { "idempotency-key": "k" },
  projectId: "default",
  method: "POST",
  routeOptions: { url: "/v1/batches" },
  log: { warn: () => undefined },
} as unknown as FastifyRequest;
const reply = {} as FastifyReply;
/** A request under the key, which fails because the Store goes away. */
async function goesAwayDuring(keys: IdempotencyKeys): Promise<void> {
  const failing = keys.guard(request, reply, () => {
    isAway = true;
    return Promise.reject(new StorageUnavailableError("away"));
  });
  await expect(failing).rejects.toThrow(StorageUnavailableError);
}

const isFree = async () => {
  const state = await store.idempotency.begin("default", "k", "POST /v1/batches", clock.now());
  return state.kind === "begun";
};

test("a key whose beginning was not answered is free for the next try", async () => {
  const keys = keysOf(true);
  isAway = true;
  const first = keys.guard(request, reply, () => Promise.resolve("never"));
  await expect(first).rejects.toThrow(StorageUnavailableError);
  isAway = false;
  expect(await keys.guard(request, reply, () => Promise.resolve("made"))).toBe("made");
});

test("a key that could not be freed is freed once the Store is back, for whoever asks", async () => {
  const keys = keysOf(false);
  await goesAwayDuring(keys);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await isFree()).toBe(false);
  isAway = false;
  await vi.advanceTimersByTimeAsync(2_000);
  await vi.waitFor(async () => expect(await isFree()).toBe(true));
});

test("a key that another request has got meanwhile is left to it", async () => {
  const keys = keysOf(false);
  await goesAwayDuring(keys);
  isAway = false;
  await keys.guard(request, reply, async () => {
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await isFree()).toBe(false);
  });
});
