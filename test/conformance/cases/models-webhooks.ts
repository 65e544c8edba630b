// GET /v1/models, and the webhooks about batches.
import { strict as assert } from "node:assert";
import type { Case, Need } from "../case.ts";
import { checkShape, has, ok, refused } from "../checks.ts";
import {
  cancel,
  cancelledBatch,
  completedBatch,
  expiredBatch,
  failedBatch,
  runningBatch,
} from "../samples.ts";
import { eventSchema } from "../schemas/event.ts";
import { type WireModel, modelSchema, modelsSchema } from "../schemas/list.ts";
import type { Target } from "../target.ts";

/** What the receiver got about the batch that completed. */
async function delivery(target: Target) {
  const [received] = await target.with("webhook-receiver").about((await completedBatch(target)).id);
  return received!;
}

/** A case that looks at the model of the batches. */
function oneModel(
  row: string,
  name: string,
  look: (model: WireModel, target: Target) => void,
  needs: readonly Need[] = [],
): Case {
  return {
    row,
    name,
    needs,
    async run(target) {
      look(ok(await target.send(`/models/${target.model}`), modelSchema), target);
    },
  };
}

export const modelsCases: readonly Case[] = [
  {
    row: "models.list",
    name: "a list without cursors that has the model of the batches",
    async run(target) {
      const { data } = ok(await target.send("/models"), modelsSchema);
      assert.ok(data.some(({ id }) => id === target.model));
    },
  },
  {
    row: "models.retrieve",
    name: "one model, as it is in the list",
    async run(target) {
      const { data } = ok(await target.send("/models"), modelsSchema);
      const answer = await target.send(`/models/${target.model}`);
      const model = ok(answer, modelSchema);
      assert.deepEqual(
        model,
        data.find(({ id }) => id === model.id),
      );
    },
  },
  {
    row: "models.retrieve.unknown",
    name: "a model that is not there is a 404",
    async run(target) {
      refused(await target.send("/models/gpt-99"), { status: 404, code: "model_not_found" });
    },
  },
  {
    row: "models.retrieve.slash",
    name: "the slashes in a name may be encoded",
    needs: ["offpeak"],
    async run(target) {
      const answer = await target.send("/models/nobody%2Fnothing");
      refused(answer, { status: 404, message: /nobody\/nothing/ });
    },
  },
  {
    row: "models.delete",
    name: "models can't be deleted",
    needs: ["offpeak"],
    async run(target) {
      const answer = await target.send(`/models/${target.model}`, { method: "DELETE" });
      refused(answer, { status: 405 });
    },
  },
  oneModel("model", "id, object, created and owned_by, in this order", (model) =>
    assert.deepEqual(Object.keys(model), ["id", "object", "created", "owned_by"]),
  ),
  oneModel("model.id", "what batches name", ({ id }, target) => assert.equal(id, target.model)),
  oneModel("model.object", 'always "model"', (model) => has(model, { object: "model" })),
  oneModel("model.created", "whole seconds", ({ created }) => assert.ok(Number.isInteger(created))),
  oneModel("model.owned_by", "a name", ({ owned_by: owner }) => assert.ok(owner.length > 0)),
  oneModel(
    "model.shutdown_date",
    "is not there",
    (model) => assert.ok(!("shutdown_date" in model)),
    ["offpeak"],
  ),
];

export const webhooksCases: readonly Case[] = [
  {
    row: "webhooks.completed",
    name: "a batch that completed is told",
    needs: ["webhook-receiver"],
    async run(target) {
      has(JSON.parse((await delivery(target)).body) as object, { type: "batch.completed" });
    },
  },
  {
    row: "webhooks.failed",
    name: "a batch that failed is told",
    needs: ["webhook-receiver"],
    async run(target) {
      const { id } = await failedBatch(target);
      const [received] = await target.with("webhook-receiver").about(id);
      has(JSON.parse(received!.body) as object, { type: "batch.failed" });
    },
  },
  {
    row: "webhooks.cancelled",
    name: "a batch that was cancelled is told",
    needs: ["simulator", "webhook-receiver"],
    async run(target) {
      const { id } = await cancelledBatch(target);
      const [received] = await target.with("webhook-receiver").about(id);
      has(JSON.parse(received!.body) as object, { type: "batch.cancelled" });
    },
  },
  {
    row: "webhooks.expired",
    name: "a batch that expired is told",
    needs: ["short-window", "simulator", "webhook-receiver"],
    async run(target) {
      const { id } = await expiredBatch(target.with("short-window"));
      const [received] = await target.with("webhook-receiver").about(id);
      has(JSON.parse(received!.body) as object, { type: "batch.expired" });
    },
  },
  {
    row: "webhooks.body",
    name: "thin: the event, its time, its type and the id of the batch",
    needs: ["webhook-receiver"],
    async run(target) {
      const { body, headers, method } = await delivery(target);
      assert.equal(method, "POST");
      assert.match(headers["content-type"] ?? "", /^application\/json/);
      const event: unknown = JSON.parse(body);
      checkShape(event, eventSchema);
      has(event as object, { data: { id: (await completedBatch(target)).id } });
    },
  },
  {
    row: "webhooks.headers",
    name: "webhook-id, webhook-timestamp in seconds, webhook-signature",
    needs: ["webhook-receiver"],
    async run(target) {
      const { headers } = await delivery(target);
      assert.match(headers["webhook-id"] ?? "", /^wh_/);
      const age = Date.now() / 1_000 - Number(headers["webhook-timestamp"]);
      assert.ok(age > -5 && age < 7_200, `${age} s old`);
      assert.match(headers["webhook-signature"] ?? "", /^v1,[A-Za-z0-9+/]+=*$/);
    },
  },
  {
    row: "webhooks.signature",
    name: "the official SDK verifies it, and notices a changed body",
    needs: ["webhook-receiver"],
    async run(target) {
      const { body, headers } = await delivery(target);
      const { secret } = target.with("webhook-receiver");
      const { webhooks } = target.openai;
      const tolerance = 7_200;
      const event = await webhooks.unwrap(body, headers, secret, tolerance);
      assert.equal(event.type, "batch.completed");
      const changed = body.replace("completed", "cancelled");
      await assert.rejects(webhooks.unwrap(changed, headers, secret, tolerance));
    },
  },
  {
    row: "webhooks.retry",
    name: "what the receiver did not answer with 2xx comes again, under the same webhook-id",
    needs: ["simulator", "webhook-receiver"],
    async run(target) {
      const receiver = target.with("webhook-receiver");
      const { id } = await runningBatch(target);
      receiver.refuseOnce.add(id);
      await cancel(target, id);
      const [first, second] = await receiver.about(id, 2);
      assert.equal(second!.headers["webhook-id"], first!.headers["webhook-id"]);
      assert.equal(second!.body, first!.body);
    },
  },
];
