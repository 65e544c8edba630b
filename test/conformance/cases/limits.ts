// Limits that only a server with other settings, or a project with small ones, reaches soon enough.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { has, refused } from "../checks.ts";
import { chatLine, createBatch, untilStatus } from "../samples.ts";
import type { BatchError } from "../schemas/batch.ts";
import type { Target } from "../target.ts";
import { announce, beginUpload } from "./upload-steps.ts";

/** The one error with which a batch of these lines fails. */
async function errorOf(
  target: Target,
  lines: readonly object[] | string,
  more: object = {},
): Promise<BatchError> {
  const { id } = await createBatch(target, lines, more);
  const { errors } = await untilStatus(target, id, "failed");
  assert.equal(errors!.data.length, 1, JSON.stringify(errors));
  return errors!.data[0]!;
}

function chatLines(target: Target, count: number): object[] {
  return Array.from({ length: count }, (_, n) => chatLine(target, `line-${n}`, "Hi"));
}

export const limitsCases: readonly Case[] = [
  {
    row: "limits.lines",
    name: "a file of 50,001 requests fails",
    async run(target) {
      const { id } = await createBatch(target, chatLines(target, 50_001));
      const { errors } = await untilStatus(target, id, "failed");
      assert.equal(errors!.data.length, 1);
    },
  },
  {
    row: "limits.lines",
    name: "the error is about the whole file, and the limit can be set",
    needs: ["other-settings"],
    async run(target) {
      const server = target.with("other-settings");
      const error = await errorOf(server, chatLines(server, 4));
      has(error, { code: "too_many_tasks", param: null, line: null });
      await untilStatus(server, (await createBatch(server, chatLines(server, 3))).id, "completed");
    },
  },
  {
    row: "limits.embedding-inputs",
    name: "every element of an array counts toward the embedding inputs of a batch",
    needs: ["other-settings"],
    async run(target) {
      const server = target.with("other-settings");
      const endpoint = "/v1/embeddings";
      const line = (customId: string, input: unknown) => {
        const body = { model: server.model, input };
        return { custom_id: customId, method: "POST", url: endpoint, body };
      };
      const lines = [line("a", ["1", "2", "3"]), line("b", "4"), line("c", "5")];
      const error = await errorOf(server, lines, { endpoint });
      has(error, { code: "too_many_inputs", param: "body.input", line: null });
    },
  },
  {
    row: "limits.line-size",
    name: "a line over the limit fails the batch",
    needs: ["other-settings"],
    async run(target) {
      const server = target.with("other-settings");
      const long = chatLine(server, "long", "x".repeat(1_500));
      const error = await errorOf(server, [chatLine(server, "a", "Hi"), long]);
      has(error, { code: "request_too_large", param: null, line: 2 });
    },
  },
  {
    row: "input.url-not-found",
    name: "a batch for an endpoint that no upstream serves fails",
    needs: ["other-settings"],
    async run(target) {
      const server = target.with("other-settings");
      const url = "/v1/responses";
      const body = { model: server.model, input: "Hi" };
      const line = { custom_id: "a", method: "POST", url, body };
      const error = await errorOf(server, [line], { endpoint: url });
      has(error, { code: "url_not_found", param: "url", line: null });
    },
  },
  {
    row: "limits.queued-lines",
    name: "more requests than the project may have queued fail the batch",
    needs: ["small-project"],
    async run(target) {
      const small = target.with("small-project");
      const error = await errorOf(small, chatLines(small, 21));
      has(error, { code: "token_limit_exceeded", param: null, line: null });
      assert.match(error.message, /Limit: 20 enqueued requests/);
    },
  },
  {
    row: "limits.queued-tokens",
    name: "more prompt tokens than the project may have queued fail the batch",
    needs: ["small-project"],
    async run(target) {
      const small = target.with("small-project");
      const error = await errorOf(small, [chatLine(small, "a", "word ".repeat(1_500))]);
      has(error, { code: "token_limit_exceeded", param: null, line: null });
      assert.match(error.message, /Limit: 500 enqueued tokens/);
    },
  },
  {
    row: "limits.queued-tokens",
    name: "… and what a batch held is free again when it has ended",
    needs: ["small-project"],
    async run(target) {
      const small = target.with("small-project");
      for (let round = 0; round < 3; round += 1) {
        const { id } = await createBatch(small, chatLines(small, 15));
        await untilStatus(small, id, "completed");
      }
    },
  },
  {
    row: "limits.batch-file-size",
    name: "a batch input may have 200 MiB (209,715,200 bytes) and no more",
    needs: ["offpeak"],
    async run(target) {
      await beginUpload(target, { bytes: 209_715_200 });
      refused(await announce(target, { bytes: 209_715_201 }), { status: 400 });
    },
  },
  {
    row: "limits.upload-size",
    name: "a file in parts may have 8 GiB and no more",
    needs: ["offpeak"],
    async run(target) {
      const bytes = 8 * 1024 ** 3;
      await beginUpload(target, { bytes, purpose: "fine-tune" });
      const answer = await announce(target, { bytes: bytes + 1, purpose: "fine-tune" });
      refused(answer, { status: 400 });
    },
  },
];
