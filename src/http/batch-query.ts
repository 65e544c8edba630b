// The query of GET /v1/batches: OpenAI's `after` and `limit`, and beyond them what filters the list. An
// empty value filters nothing.
import { ApiError } from "../core/api-error.ts";
import { batchStatuses } from "../core/batch.ts";
import type { BatchQuery } from "../core/store.ts";
import { type Query, queryAfter, queryInteger, queryLimit, queryValue } from "./query.ts";
import { BATCH_PAGE, CREATED_AFTER, METADATA_PAIRS } from "./schemas/batch-object.ts";
import { tooManyProperties, unsupportedValue } from "./wording.ts";

const METADATA_KEY = /^metadata\[(.*)\]$/s;

/** @throws ApiError */
export function readBatchQuery(query: unknown): BatchQuery {
  const status = queryValue(query, "status");
  const model = queryValue(query, "model");
  const metadata = queryMetadata(query as Query);
  const createdAfter = queryInteger(query, "created_after", CREATED_AFTER);
  return {
    limit: queryLimit(query, BATCH_PAGE),
    ...queryAfter(query),
    ...(status ? { status: asStatus(status) } : {}),
    ...(model ? { model } : {}),
    ...(metadata ? { metadata } : {}),
    // The whole second is over that `created_at` shows.
    ...(createdAfter === undefined ? {} : { createdFrom: (createdAfter + 1) * 1_000 }),
  };
}

function asStatus(value: string) {
  const status = batchStatuses.find((candidate) => candidate === value);
  if (status !== undefined) return status;
  throw unsupportedValue("status", value, batchStatuses);
}

/** `metadata[key]=value`, as many as a batch may have. */
function queryMetadata(query: Query): Record<string, string> | undefined {
  if (query["metadata"] !== undefined) {
    // Taken for an unknown key, it would filter nothing.
    throw new ApiError(400, "Invalid 'metadata': expected metadata[key]=value, got metadata=….", {
      code: "invalid_value",
      param: "metadata",
    });
  }
  const pairs = Object.keys(query).flatMap((name) => {
    const key = METADATA_KEY.exec(name)?.[1];
    return key === undefined ? [] : [[key, queryValue(query, name) ?? ""] as const];
  });
  if (pairs.length > METADATA_PAIRS)
    throw tooManyProperties("metadata", METADATA_PAIRS, pairs.length);
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs);
}
