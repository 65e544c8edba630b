// The routes of batches. What a new batch must look like is its schema; a member the schema does not
// name is ignored, so that clients written for later versions of the API keep working.
import type { FastifyReply } from "fastify";
import type { BatchService } from "../../batches/batch-service.ts";
import type { Batch } from "../../core/batch.ts";
import type { App } from "../app.ts";
import { readBatchQuery } from "../batch-query.ts";
import type { IdempotencyKeys } from "../idempotency.ts";
import { idempotencyHeaders } from "../openapi.ts";
import { BatchListQuery, BatchObject, newBatchSchema } from "../schemas/batch-object.ts";
import { ById, pageOf, reference } from "../schemas/schema.ts";
import { batchToWire, pageToWire } from "../wire.ts";
import { unsupportedValue } from "../wording.ts";

const WAITING_REASON_CHARACTERS = 500;

const tags = ["Batches"];
const response = { 200: reference(BatchObject) };

export interface BatchRouteParts {
  batches: BatchService;
  idempotency: IdempotencyKeys;
  /** What the `endpoint` of a batch may be. */
  endpoints: readonly string[];
}

export function addBatchRoutes(
  app: App,
  { batches, idempotency, endpoints }: BatchRouteParts,
): void {
  app.post(
    "/v1/batches",
    {
      schema: { operationId: "createBatch", tags, body: newBatchSchema(endpoints), response },
      config: { documented: { headers: idempotencyHeaders } },
    },
    (request, reply) =>
      idempotency.guard(request, reply, async (settle) => {
        const { projectId, body, log } = request;
        const content = {
          inputFileId: body.input_file_id,
          endpoint: body.endpoint,
          completionWindow: body.completion_window,
          metadata: body.metadata ?? null,
          outputExpiresAfterSeconds: body.output_expires_after?.seconds ?? null,
        };
        const windows = batches.completionWindows(projectId);
        if (!windows.includes(content.completionWindow)) {
          throw unsupportedValue("completion_window", content.completionWindow, windows);
        }
        const batch = await settle({
          content,
          find: (id) => batches.get(projectId, id),
          create: async (idempotent) => {
            const created = await batches.create(projectId, content, idempotent);
            log.info({ batch_id: created.id, input_file_id: created.inputFileId }, "batch created");
            return created;
          },
        });
        return answer(reply, batch);
      }),
  );

  app.get(
    "/v1/batches",
    {
      schema: {
        operationId: "listBatches",
        tags,
        response: { 200: pageOf(reference(BatchObject)) },
      },
      config: { documented: { query: BatchListQuery } },
    },
    async ({ projectId, query: sent }) => {
      const query = readBatchQuery(sent);
      const page =
        query.limit === 0 ? { data: [], hasMore: false } : await batches.list(projectId, query);
      return pageToWire(page, batchToWire);
    },
  );

  app.get(
    "/v1/batches/:id",
    { schema: { operationId: "retrieveBatch", tags, params: ById, response } },
    async ({ projectId, params }, reply) => answer(reply, await batches.get(projectId, params.id)),
  );

  app.post(
    "/v1/batches/:id/cancel",
    { schema: { operationId: "cancelBatch", tags, params: ById, response } },
    async ({ projectId, params, log }, reply) => {
      const batch = await batches.cancel(projectId, params.id);
      log.info({ batch_id: batch.id, status: batch.status }, "batch cancel requested");
      return answer(reply, batch);
    },
  );
}

/** The batch, and beyond OpenAI's API a header that says why it is not moving. */
function answer(reply: FastifyReply, batch: Batch): BatchObject {
  if (batch.waitingReason !== null) {
    reply.header("offpeak-waiting-reason", headerText(batch.waitingReason));
  }
  return batchToWire(batch);
}

function headerText(text: string): string {
  return text.slice(0, WAITING_REASON_CHARACTERS).replaceAll(/[^\x20-\x7e]+/g, "?");
}
