// A batch as the API answers it, and what a new one is made of.
import { type Static, Type } from "typebox";
import { batchStatuses } from "../../core/batch.ts";
import { expiresAfter } from "./expires-after.ts";
import { Seconds, limitOf, nullable, oneOf } from "./schema.ts";

export const BATCH_PAGE = { min: 0, max: 100, fallback: 20 };
/** Of a batch, and of the conditions of a list. */
export const METADATA_PAIRS = 16;
/** It is part of the batch in every answer, and of its error when there is no such file. */
const FILE_ID_CHARACTERS = 64;
/** As far as a Date goes. */
export const CREATED_AFTER = { min: 0, max: 8_640_000_000_000 };

const MetadataValues = Type.Unsafe<Record<string, string>>({
  type: "object",
  additionalProperties: { type: "string" },
});

export const BatchObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("batch"),
    endpoint: Type.String(),
    model: nullable(Type.String()),
    errors: nullable(
      Type.Object({
        object: Type.Literal("list"),
        data: Type.Array(
          Type.Object({
            code: Type.String(),
            message: Type.String(),
            param: nullable(Type.String()),
            line: nullable(Type.Integer()),
          }),
        ),
      }),
    ),
    input_file_id: Type.String(),
    completion_window: Type.String(),
    status: oneOf(batchStatuses),
    output_file_id: nullable(Type.String()),
    error_file_id: nullable(Type.String()),
    created_at: Seconds,
    in_progress_at: nullable(Seconds),
    expires_at: Seconds,
    finalizing_at: nullable(Seconds),
    completed_at: nullable(Seconds),
    failed_at: nullable(Seconds),
    expired_at: nullable(Seconds),
    cancelling_at: nullable(Seconds),
    cancelled_at: nullable(Seconds),
    request_counts: Type.Object({
      total: Type.Integer(),
      completed: Type.Integer(),
      failed: Type.Integer(),
    }),
    usage: Type.Object({
      input_tokens: Type.Integer(),
      output_tokens: Type.Integer(),
      total_tokens: Type.Integer(),
      input_tokens_details: Type.Object({ cached_tokens: Type.Integer() }),
      output_tokens_details: Type.Object({ reasoning_tokens: Type.Integer() }),
    }),
    metadata: nullable(MetadataValues),
  },
  {
    $id: "Batch",
    description:
      "A batch. While nothing moves, the header offpeak-waiting-reason says why (beyond OpenAI).",
  },
);
export type BatchObject = Static<typeof BatchObject>;

/** @param endpoints what `endpoint` may be */
export function newBatchSchema(endpoints: readonly string[]) {
  return Type.Object({
    input_file_id: Type.String({ maxLength: FILE_ID_CHARACTERS }),
    endpoint: oneOf(endpoints),
    completion_window: Type.String({
      description: "24h, or another window that the project may use (beyond OpenAI)",
    }),
    metadata: Type.Optional(
      Type.Unsafe<Record<string, string> | null>({
        type: ["object", "null"],
        maxProperties: METADATA_PAIRS,
        propertyNames: { type: "string", maxLength: 64 },
        additionalProperties: { type: "string", maxLength: 512 },
      }),
    ),
    output_expires_after: Type.Optional(expiresAfter),
  });
}

/** Keys of GET /v1/batches, which batch-query.ts reads. */
export const BatchListQuery = Type.Object({
  after: Type.Optional(Type.String()),
  limit: Type.Optional(limitOf(BATCH_PAGE)),
  status: Type.Optional(
    oneOf(batchStatuses, { description: "Only batches in this status (beyond OpenAI)" }),
  ),
  model: Type.Optional(Type.String({ description: "Only batches of this model (beyond OpenAI)" })),
  metadata: Type.Optional(
    Type.Unsafe<Record<string, string>>({
      type: "object",
      additionalProperties: { type: "string" },
      maxProperties: METADATA_PAIRS,
      description: "Only batches whose metadata has all these pairs (beyond OpenAI)",
    }),
  ),
  created_after: Type.Optional(
    Type.Integer({
      minimum: CREATED_AFTER.min,
      maximum: CREATED_AFTER.max,
      description: "Only batches created after this Unix time in seconds (beyond OpenAI)",
    }),
  ),
});
