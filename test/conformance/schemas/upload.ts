// The Upload object and its parts.
import { type WireFile, fileSchema } from "./file.ts";
import { type SchemaOf, always, count, object, orNull, text, time } from "./schema.ts";

export interface WireUpload {
  id: string;
  bytes: number;
  created_at: number;
  filename: string;
  purpose: string;
  status: string;
  expires_at: number;
  file: WireFile | null;
}

export interface WirePart {
  id: string;
  created_at: number;
  upload_id: string;
}

export const uploadSchema: SchemaOf<WireUpload> = object({
  id: { type: "string", pattern: "^upload_" },
  object: always("upload"),
  bytes: count,
  created_at: time,
  filename: text,
  purpose: text,
  status: { enum: ["pending", "completed", "cancelled", "expired"] },
  expires_at: time,
  file: orNull(fileSchema),
});

export const partSchema: SchemaOf<WirePart> = object({
  id: { type: "string", pattern: "^part_" },
  object: always("upload.part"),
  created_at: time,
  upload_id: { type: "string", pattern: "^upload_" },
});
