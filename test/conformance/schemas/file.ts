// The File object, and the answer to its deletion.
import { type SchemaOf, always, count, object, orNull, text, time } from "./schema.ts";

export interface WireFile {
  id: string;
  purpose: string;
  filename: string;
  bytes: number;
  created_at: number;
  expires_at: number | null;
}

export const fileSchema: SchemaOf<WireFile> = object({
  object: always("file"),
  id: { type: "string", pattern: "^file-" },
  purpose: {
    enum: [
      "assistants",
      "assistants_output",
      "batch",
      "batch_output",
      "evals",
      "fine-tune",
      "fine-tune-results",
      "user_data",
      "vision",
    ],
  },
  filename: text,
  bytes: count,
  created_at: time,
  expires_at: orNull(time),
  status: always("processed"),
  status_details: { type: "null" },
});

export const deletedFileSchema: SchemaOf<{ object: "file"; id: string; deleted: true }> = object({
  object: always("file"),
  id: text,
  deleted: always(true),
});
