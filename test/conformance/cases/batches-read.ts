// GET /v1/batches/{id}, POST /v1/batches/{id}/cancel, GET /v1/batches.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { has, ok, refused } from "../checks.ts";
import {
  cancel,
  chatLine,
  completedBatch,
  createBatch,
  ended,
  expiredBatch,
  failedBatch,
  newBatch,
  retrieve,
  runningBatch,
  untilStatus,
} from "../samples.ts";
import { type WireBatch, batchSchema } from "../schemas/batch.ts";
import { type Page, pageSchema } from "../schemas/list.ts";
import { type Target, until } from "../target.ts";

const batchPage = pageSchema(batchSchema);
const EMPTY = { object: "list", data: [], first_id: null, last_id: null, has_more: false };

async function list(target: Target, query = ""): Promise<Page<WireBatch>> {
  return ok(await target.send(`/batches${query}`), batchPage);
}

function idsOf({ data }: Page<WireBatch>): string[] {
  return data.map(({ id }) => id);
}

/** Ids of four batches that were made one after the other, oldest first. */
function fourBatches(target: Target): Promise<string[]> {
  return target.once("four batches", async () => {
    const ids: string[] = [];
    for (let made = 0; made < 4; made += 1) {
      const answer = await target.post("/batches", await newBatch(target));
      ids.push(ok(answer, batchSchema).id);
    }
    return ids;
  });
}

/** The id of the oldest batch, by walking the whole list. */
async function oldest(target: Target): Promise<string> {
  let page = await list(target, "?limit=100");
  while (page.has_more) page = await list(target, `?limit=100&after=${page.last_id}`);
  return page.last_id!;
}

async function notCancellable(target: Target, { id, status }: WireBatch): Promise<void> {
  const before = await retrieve(target, id);
  refused(await cancel(target, id), {
    status: 409,
    code: null,
    param: null,
    message: `Cannot cancel a batch with status '${status}'.`,
  });
  assert.deepEqual(await retrieve(target, id), before);
}

/** A case that looks at a page of two of at least four batches. */
function listMember(row: string, name: string, look: (page: Page<WireBatch>) => void): Case {
  return {
    row,
    name,
    async run(target) {
      await fourBatches(target);
      look(await list(target, "?limit=2"));
    },
  };
}

const unknownId = "batch_00000000000000000000000000000000";

function unknown(id: string, param: string | null = null) {
  return { status: 404, code: null, param, message: `No batch found with id '${id}'.` };
}

export const batchesReadCases: readonly Case[] = [
  {
    row: "batches.retrieve",
    name: "a batch is retrieved as it was created, and the same each time",
    async run(target) {
      const batch = await completedBatch(target);
      assert.deepEqual(await retrieve(target, batch.id), batch);
    },
  },
  {
    row: "batches.retrieve.unknown",
    name: "an unknown id is a 404, whatever it looks like",
    async run(target) {
      for (const id of [unknownId, "nothing", "file-1"]) {
        refused(await target.send(`/batches/${id}`), unknown(id));
      }
    },
  },
  {
    row: "batches.retrieve.foreign",
    name: "a batch of another project is a 404 in the same words",
    needs: ["other-project"],
    async run(target) {
      const { id } = await completedBatch(target);
      const other = target.with("other-project");
      refused(await other.send(`/batches/${id}`), unknown(id));
      refused(await cancel(other, id), unknown(id));
      refused(await other.send(`/batches?after=${id}`), unknown(id, "after"));
    },
  },
  {
    row: "batches.cancel.validating",
    name: "a validating batch is cancelling at once, and cancelled without files",
    needs: ["unreachable-upstream"],
    async run(target) {
      const server = target.with("unreachable-upstream");
      const { id } = await createBatch(server, [chatLine(server, "a", "Hi")]);
      const batch = ok(await cancel(server, id), batchSchema);
      has(batch, { id, status: "cancelling", in_progress_at: null, cancelled_at: null });
      assert.ok(batch.cancelling_at! >= batch.created_at);
      const { request_counts: counts, ...end } = await untilStatus(server, id, "cancelled");
      has(end, { output_file_id: null, error_file_id: null, in_progress_at: null, errors: null });
      assert.deepEqual(counts, { total: 0, completed: 0, failed: 0 });
    },
  },
  {
    row: "batches.cancel.in-progress",
    name: "a running batch is cancelling at once, and then cancelled",
    needs: ["simulator"],
    async run(target) {
      const running = await runningBatch(target);
      const batch = ok(await cancel(target, running.id), batchSchema);
      has(batch, { status: "cancelling", in_progress_at: running.in_progress_at });
      assert.ok(batch.cancelling_at! >= batch.created_at);
      const { cancelled_at: at } = await untilStatus(target, running.id, "cancelled");
      assert.ok(at! >= batch.cancelling_at!);
    },
  },
  {
    row: "batches.cancel.finalizing",
    name: "a batch that shows cancelling never completes, even when caught while finalizing (best effort: the moment is short)",
    async run(target) {
      const lines = Array.from({ length: 400 }, (_, n) => chatLine(target, `${n}`, `Say ${n}.`));
      const { id } = await createBatch(target, lines);
      const seen = await until(
        `batch ${id} to be finalizing`,
        async () => {
          const batch = await retrieve(target, id);
          return ["finalizing", "completed"].includes(batch.status) ? batch : undefined;
        },
        { timeoutMs: target.patienceMs, pauseMs: 1 },
      );
      const answer = await cancel(target, id);
      if (answer.status === 409) {
        assert.equal((await ended(target, id)).status, "completed");
        return;
      }
      assert.equal(seen.status, "finalizing");
      assert.equal(ok(answer, batchSchema).status, "cancelling");
      await untilStatus(target, id, "cancelled");
    },
  },
  {
    row: "batches.cancel.again",
    name: "cancelling a batch that is cancelling or cancelled changes nothing",
    needs: ["simulator"],
    async run(target) {
      const { id } = await runningBatch(target);
      const first = ok(await cancel(target, id), batchSchema);
      const second = ok(await cancel(target, id), batchSchema);
      assert.equal(second.cancelling_at, first.cancelling_at);
      const end = await untilStatus(target, id, "cancelled");
      assert.deepEqual(ok(await cancel(target, id), batchSchema), end);
    },
  },
  {
    row: "batches.cancel.completed",
    name: "a completed batch can't be cancelled",
    async run(target) {
      await notCancellable(target, await completedBatch(target));
    },
  },
  {
    row: "batches.cancel.failed",
    name: "a failed batch can't be cancelled",
    async run(target) {
      await notCancellable(target, await failedBatch(target));
    },
  },
  {
    row: "batches.cancel.expired",
    name: "an expired batch can't be cancelled",
    needs: ["short-window", "simulator"],
    async run(target) {
      const project = target.with("short-window");
      await notCancellable(project, await expiredBatch(project));
    },
  },
  {
    row: "batches.cancel.unknown",
    name: "an unknown id is a 404",
    async run(target) {
      refused(await cancel(target, unknownId), unknown(unknownId));
    },
  },
  {
    row: "batches.cancel.body",
    name: "no body, an empty one typed as JSON, and an empty object are all taken",
    async run(target) {
      const { id } = await failedBatch(target);
      const headers = { "content-type": "application/json" };
      for (const request of [{}, { headers, body: "" }, { headers, body: "{}" }]) {
        const answer = await target.send(`/batches/${id}/cancel`, { method: "POST", ...request });
        refused(answer, { status: 409 });
      }
    },
  },
  {
    row: "batches.list",
    name: "a page of whole batches, its members in their order",
    async run(target) {
      await completedBatch(target);
      const { data } = await list(target, "?limit=100");
      assert.ok(data.length > 0);
    },
  },
  listMember("list.object", 'always "list"', (page) => has(page, { object: "list" })),
  listMember("list.data", "as many objects as were asked for", ({ data }) =>
    assert.equal(data.length, 2),
  ),
  listMember("list.first_id", "of the first object", ({ data, first_id: id }) =>
    assert.equal(id, data[0]!.id),
  ),
  listMember("list.last_id", "of the last object", ({ data, last_id: id }) =>
    assert.equal(id, data[1]!.id),
  ),
  listMember("list.has_more", "true while more follow", (page) => has(page, { has_more: true })),
  {
    row: "batches.list.order",
    name: "newest first",
    async run(target) {
      const ids = await fourBatches(target);
      const page = idsOf(await list(target, "?limit=100"));
      const places = ids.map((id) => page.indexOf(id));
      assert.deepEqual(
        places,
        places.toSorted((a, b) => b - a),
      );
      assert.ok(!places.includes(-1), "one of the last batches is not on the first page");
    },
  },
  {
    row: "batches.list.order",
    name: "`order` is no key of this route",
    async run(target) {
      const [first, second] = await fourBatches(target);
      assert.deepEqual(idsOf(await list(target, `?limit=1&order=asc&after=${second}`)), [first]);
    },
  },
  {
    row: "batches.list.empty",
    name: "a project without batches has an empty page, its ids null",
    needs: ["other-project"],
    async run(target) {
      assert.deepEqual(await list(target.with("other-project")), EMPTY);
    },
  },
  {
    row: "batches.list.limit",
    name: "20 batches unless `limit` says otherwise, up to 100",
    async run(target) {
      for (let made = 0; made < 22; made += 1) {
        await target.post("/batches", await newBatch(target));
      }
      assert.equal((await list(target)).data.length, 20);
      assert.equal((await list(target, "?limit=21")).data.length, 21);
      await list(target, "?limit=100");
    },
  },
  {
    row: "batches.list.limit-zero",
    name: "limit=0 is an empty page after which nothing follows",
    async run(target) {
      await fourBatches(target);
      assert.deepEqual(await list(target, "?limit=0"), EMPTY);
    },
  },
  {
    row: "batches.list.limit-range",
    name: "below 0 and above 100 is refused",
    async run(target) {
      refused(await target.send("/batches?limit=-1"), {
        status: 400,
        code: "integer_below_min_value",
        param: "limit",
        message:
          "Invalid 'limit': integer below minimum value. Expected a value >= 0, but got -1 instead.",
      });
      refused(await target.send("/batches?limit=101"), {
        status: 400,
        code: "integer_above_max_value",
        param: "limit",
        message:
          "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 101 instead.",
      });
    },
  },
  {
    row: "batches.list.limit-type",
    name: "what is no whole number is refused",
    needs: ["offpeak"],
    async run(target) {
      for (const limit of ["ten", "1.5", ""]) {
        const answer = await target.send(`/batches?limit=${limit}`);
        refused(answer, { status: 400, code: "invalid_type", param: "limit" });
      }
    },
  },
  {
    row: "batches.list.after",
    name: "`after` is exclusive, and goes on with the next older one",
    async run(target) {
      const [first, second, third, fourth] = await fourBatches(target);
      assert.deepEqual(idsOf(await list(target, `?limit=3&after=${fourth}`)), [
        third,
        second,
        first,
      ]);
    },
  },
  {
    row: "batches.list.after-last",
    name: "after the oldest there is an empty page, no error",
    async run(target) {
      await fourBatches(target);
      assert.deepEqual(await list(target, `?after=${await oldest(target)}`), EMPTY);
    },
  },
  {
    row: "batches.list.after-unknown",
    name: "an unknown `after` is a 404 about `after`",
    needs: ["offpeak"],
    async run(target) {
      refused(await target.send(`/batches?after=${unknownId}`), unknown(unknownId, "after"));
    },
  },
  {
    row: "batches.list.has-more",
    name: "has_more is true exactly when a next page has something",
    async run(target) {
      const [, , , newest] = await fourBatches(target);
      const one = await list(target, `?limit=1&after=${newest}`);
      assert.equal(one.has_more, true);
      const last = await oldest(target);
      let page = await list(target, "?limit=100");
      while (!idsOf(page).includes(last)) {
        assert.equal(page.has_more, true);
        page = await list(target, `?limit=100&after=${page.last_id}`);
      }
      assert.equal(page.has_more, false);
    },
  },
  {
    row: "batches.list.foreign",
    name: "batches of other projects are not listed",
    needs: ["short-window"],
    async run(target) {
      const { id } = await completedBatch(target);
      const other = target.with("short-window");
      const own = await createBatch(other, [chatLine(other, "a", "Say hi.")]);
      const listed = idsOf(await list(other, "?limit=100"));
      assert.deepEqual([listed.includes(own.id), listed.includes(id)], [true, false]);
    },
  },
];
