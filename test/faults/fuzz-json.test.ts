import type { Batch } from "openai/resources/batches";
// The bodies of every route that takes JSON, as no client should send them: each is taken or refused, never a
// fault, and what was taken is told as it was sent. FUZZ_SEED repeats the random ones.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { hasEnded } from "../support/batch-driver.ts";
import { FuzzedServer } from "../support/fuzzed-server.ts";
import { mutated } from "../support/mutation.ts";
import { noJson, oddJson, oddNames, placesIn, withAt } from "../support/odd-json.ts";
import { seededRandom } from "../support/random.ts";
import { json } from "../support/raw-http.ts";
import { until } from "../support/until.ts";

/** Of the body of each route. */
const MUTATIONS = 200;

const expiresAfter = { anchor: "created_at", seconds: 3_600 };
const newUpload = { filename: "a.bin", purpose: "evals", bytes: 5, mime_type: "text/plain" };

interface Route {
  path: string;
  /** Of a request that is taken, but for the ids. */
  body: Record<string, unknown>;
}

let server: FuzzedServer;
let routes: Route[];
beforeAll(async () => {
  server = await FuzzedServer.start();
  const upload = await server.ask("/v1/uploads", { method: "POST", ...json(newUpload) });
  const { id } = upload.json as { id: string };
  routes = [
    {
      path: "/v1/batches",
      body: {
        input_file_id: "file-x",
        endpoint: "/v1/chat/completions",
        completion_window: "24h",
        metadata: { key: "value" },
        output_expires_after: expiresAfter,
      },
    },
    { path: "/v1/batches/batch_x/cancel", body: {} },
    { path: "/v1/uploads", body: { ...newUpload, expires_after: expiresAfter } },
    {
      path: `/v1/uploads/${id}/complete`,
      body: { part_ids: ["part_a", "part_b"], md5: "0123456789abcdef0123456789abcdef" },
    },
    { path: "/v1/uploads/upload_x/cancel", body: {} },
    { path: "/admin/v1/keys", body: { project: "other" } },
    {
      path: "/admin/v1/webhooks",
      body: { project: "other", url: "http://127.0.0.1:1/a?b=c", events: ["batch.completed"] },
    },
  ];
});
afterAll(() => server[Symbol.asyncDispose]());
afterEach(() => server.expectUnharmed());

const headers = { "content-type": "application/json" };

interface Attack {
  path: string;
  body: string | Uint8Array;
  hint: string;
}

/** Sends them all; what is made of a webhook goes again, for a project may have only a few. */
async function expectAnswers(attacks: Iterable<Attack>): Promise<void> {
  await server.each(attacks, async ({ path, body, hint }) => {
    const answer = await server.ask(path, { method: "POST", headers, body }, `${path}: ${hint}`);
    if (answer.status !== 200 || !path.endsWith("webhooks")) return;
    const { id } = answer.json as { id: string };
    await server.ask(`${path}/${id}`, { method: "DELETE" });
  });
}

describe("a JSON body", () => {
  test("with an odd value in any place", async () => {
    await expectAnswers(
      routes.flatMap(({ path, body }) =>
        placesIn(body).flatMap((place) =>
          Object.entries(oddJson).map(([what, text]) => ({
            path,
            body: withAt(body, place, text),
            hint: `${what} as ${place.join(".") || "the body"}`,
          })),
        ),
      ),
    );
  });

  test("with a member more, be it there already or not", async () => {
    await expectAnswers(
      routes.flatMap(({ path, body }) =>
        [...Object.keys(body), ...oddNames].flatMap((name) =>
          ["null", "1", '"a"', '{"a":"b"}'].map((value) => ({
            path,
            body: JSON.stringify({ ...body, last: 0 }).replace('"last":0', `"${name}":${value}`),
            hint: `${name}: ${value}`,
          })),
        ),
      ),
    );
  });

  test("that is none", async () => {
    await expectAnswers(
      routes.flatMap(({ path }) =>
        Object.entries(noJson).map(([hint, body]) => ({ path, body, hint })),
      ),
    );
  });

  test("that ends too early, at any byte", async () => {
    await expectAnswers(
      routes.flatMap(({ path, body }) => {
        const text = JSON.stringify(body);
        return Array.from({ length: text.length }, (_, length) => ({
          path,
          body: text.slice(0, length),
          hint: `cut at ${length}`,
        }));
      }),
    );
  });

  test("with random changes", async () => {
    const random = seededRandom("FUZZ_SEED");
    console.info(`FUZZ_SEED=${random.seed}`);
    await expectAnswers(
      routes.flatMap(({ path, body }) => {
        const bytes = Buffer.from(JSON.stringify(body));
        return Array.from({ length: MUTATIONS }, () => {
          const changed = mutated(bytes, random);
          return { path, body: changed, hint: changed.toString() };
        });
      }),
    );
  });
});

describe("what was taken of it", () => {
  test("metadata comes back as it was sent, in every answer", async () => {
    const [{ path, body }] = routes as [Route];
    // Some releases of V8 mistake escaped names for others that they have seen before.
    const odd = Object.values(oddJson).filter((text) => /^\{(?!"\\[^u])/.test(text));
    for (const text of odd) {
      const place = ["metadata"];
      const made = await server.ask(path, {
        method: "POST",
        headers,
        body: withAt(body, place, text),
      });
      if (made.status !== 200) continue;
      const { id, metadata } = made.json as Batch;
      expect(metadata).toEqual(JSON.parse(text));
      const found = await server.ask(`${path}/${id}`);
      expect((found.json as Batch).metadata).toEqual(metadata);
    }
  });

  test("an endless id of an input file is not kept", async () => {
    const [{ path, body }] = routes as [Route];
    const endless = json({ ...body, input_file_id: "x".repeat(65) });
    const { json: refusal } = await server.ask(path, { method: "POST", ...endless });
    expect(refusal).toMatchObject({
      error: { code: "string_above_max_length", param: "input_file_id" },
    });
  });

  test("a batch without an input file fails, with an entry", async () => {
    const batches = await until("all batches to end", async () => {
      const seen: Batch[] = [];
      for await (const batch of server.openai.batches.list({ limit: 100 })) seen.push(batch);
      return seen.every(hasEnded) && seen;
    });
    expect(batches.length).toBeGreaterThan(routes.length);
    for (const { status, errors } of batches) {
      expect(status).toBe("failed");
      expect(errors?.data).toHaveLength(1);
    }
  });
});
