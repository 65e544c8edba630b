// The Batch object: its 22 members in the order in which OpenAI sends them.
import { type SchemaOf, always, count, object, orNull, text, time } from "./schema.ts";

export interface BatchError {
  code: string;
  message: string;
  param: string | null;
  line: number | null;
}

export interface WireBatch {
  id: string;
  endpoint: string;
  model: string | null;
  errors: { object: "list"; data: BatchError[] } | null;
  input_file_id: string;
  completion_window: string;
  status: string;
  output_file_id: string | null;
  error_file_id: string | null;
  created_at: number;
  in_progress_at: number | null;
  expires_at: number | null;
  finalizing_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  expired_at: number | null;
  cancelling_at: number | null;
  cancelled_at: number | null;
  request_counts: { total: number; completed: number; failed: number };
  usage: {
    input_tokens: number;
    output_tokens: number;
    total_tokens: number;
    input_tokens_details: { cached_tokens: number };
    output_tokens_details: { reasoning_tokens: number };
  };
  metadata: Record<string, string> | null;
}

export const batchSchema: SchemaOf<WireBatch> = object({
  id: { type: "string", pattern: "^batch_" },
  object: always("batch"),
  endpoint: { type: "string", pattern: "^/v1/" },
  model: orNull(text),
  errors: orNull(
    object({
      object: always("list"),
      data: {
        type: "array",
        items: object({
          code: text,
          message: text,
          param: orNull(text),
          line: orNull({ type: "integer", minimum: 1 }),
        }),
      },
    }),
  ),
  input_file_id: text,
  completion_window: text,
  status: {
    enum: [
      "validating",
      "failed",
      "in_progress",
      "finalizing",
      "completed",
      "expired",
      "cancelling",
      "cancelled",
    ],
  },
  output_file_id: orNull(text),
  error_file_id: orNull(text),
  created_at: time,
  in_progress_at: orNull(time),
  expires_at: orNull(time),
  finalizing_at: orNull(time),
  completed_at: orNull(time),
  failed_at: orNull(time),
  expired_at: orNull(time),
  cancelling_at: orNull(time),
  cancelled_at: orNull(time),
  request_counts: object({ total: count, completed: count, failed: count }),
  usage: object({
    input_tokens: count,
    output_tokens: count,
    total_tokens: count,
    input_tokens_details: object({ cached_tokens: count }),
    output_tokens_details: object({ reasoning_tokens: count }),
  }),
  metadata: orNull({ type: "object", additionalProperties: { type: "string" } }),
});
