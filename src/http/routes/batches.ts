// The routes of batches. What a new batch must look like is its schema; a member the schema does not
// name is ignored, so that clients written for later versions of the API keep working.
import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import type { BatchService } from "../../batches/batch-service.ts";
import { type Batch, completionWindows } from "../../core/batch.ts";
import { endpointPaths } from "../../core/endpoints.ts";
import { EXPIRES_AFTER_MAX_SECONDS, EXPIRES_AFTER_MIN_SECONDS } from "../../core/limits.ts";
import type { App } from "../app.ts";
import { queryAfter, queryLimit } from "../query.ts";
import { batchToWire, pageToWire } from "../wire.ts";

const LIST_LIMIT = { min: 0, max: 100, fallback: 20 };
const WAITING_REASON_CHARACTERS = 500;

const NewBatch = Type.Object({
  input_file_id: Type.String(),
  endpoint: Type.Unsafe<string>({ type: "string", enum: endpointPaths }),
  completion_window: Type.Unsafe<string>({ type: "string", enum: Object.keys(completionWindows) }),
  metadata: Type.Optional(
    Type.Unsafe<Record<string, string> | null>({
      type: "object",
      nullable: true,
      maxProperties: 16,
      propertyNames: { type: "string", maxLength: 64 },
      additionalProperties: { type: "string", maxLength: 512 },
    }),
  ),
  output_expires_after: Type.Optional(
    Type.Unsafe<{ anchor: "created_at"; seconds: number } | null>({
      type: "object",
      nullable: true,
      required: ["anchor", "seconds"],
      properties: {
        anchor: { type: "string", enum: ["created_at"] },
        seconds: {
          type: "integer",
          minimum: EXPIRES_AFTER_MIN_SECONDS,
          maximum: EXPIRES_AFTER_MAX_SECONDS,
        },
      },
    }),
  ),
});

interface BatchParams {
  Params: { id: string };
}

export function addBatchRoutes(app: App, batches: BatchService): void {
  app.post(
    "/v1/batches",
    { schema: { body: NewBatch } },
    async ({ projectId, body, log }, reply) => {
      const batch = await batches.create(projectId, {
        inputFileId: body.input_file_id,
        endpoint: body.endpoint,
        completionWindow: body.completion_window,
        metadata: body.metadata ?? null,
        outputExpiresAfterSeconds: body.output_expires_after?.seconds ?? null,
      });
      log.info({ batch_id: batch.id, input_file_id: batch.inputFileId }, "batch created");
      return answer(reply, batch);
    },
  );

  app.get("/v1/batches", async ({ projectId, query }) => {
    const limit = queryLimit(query, LIST_LIMIT);
    const page =
      limit === 0
        ? { data: [], hasMore: false }
        : await batches.list(projectId, { limit, ...queryAfter(query) });
    return pageToWire(page, batchToWire);
  });

  app.get<BatchParams>("/v1/batches/:id", async ({ projectId, params }, reply) =>
    answer(reply, await batches.get(projectId, params.id)),
  );

  app.post<BatchParams>("/v1/batches/:id/cancel", async ({ projectId, params, log }, reply) => {
    const batch = await batches.cancel(projectId, params.id);
    log.info({ batch_id: batch.id, status: batch.status }, "batch cancel requested");
    return answer(reply, batch);
  });
}

/** The batch, and beyond OpenAI's API a header that says why it is not moving. */
function answer(reply: FastifyReply, batch: Batch) {
  if (batch.waitingReason !== null) {
    reply.header("offpeak-waiting-reason", headerText(batch.waitingReason));
  }
  return batchToWire(batch);
}

function headerText(text: string): string {
  return text.slice(0, WAITING_REASON_CHARACTERS).replaceAll(/[^\x20-\x7e]+/g, "?");
}
