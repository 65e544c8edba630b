// An upload in parts, and a part of one, as the API answers them; and what clients send for them.
import { type Static, Type } from "typebox";
import { uploadPurposes } from "../../core/file.ts";
import { expiresAfter } from "./expires-after.ts";
import { Binary, FILENAME_CHARACTERS, FileObject } from "./file-object.ts";
import { Seconds, nullable, oneOf, reference } from "./schema.ts";

const MIME_TYPE_CHARACTERS = 255;
const PART_ID_CHARACTERS = 64;
const MAX_PARTS = 10_000;

export const UploadObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("upload"),
    bytes: Type.Integer(),
    created_at: Seconds,
    filename: Type.String(),
    purpose: oneOf(uploadPurposes),
    status: oneOf(["pending", "completed", "cancelled", "expired"]),
    expires_at: Seconds,
    file: nullable(reference(FileObject)),
  },
  { $id: "Upload", description: "An upload in parts." },
);
export type UploadObject = Static<typeof UploadObject>;

export const PartObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal("upload.part"),
    created_at: Seconds,
    upload_id: Type.String(),
  },
  { $id: "UploadPart", description: "A part of an upload." },
);
export type PartObject = Static<typeof PartObject>;

export const NewUpload = Type.Object({
  filename: Type.String({ minLength: 1, maxLength: FILENAME_CHARACTERS }),
  purpose: Type.Unsafe<(typeof uploadPurposes)[number]>({
    type: "string",
    description: `One of ${uploadPurposes.join(", ")}`,
  }),
  bytes: Type.Integer({ minimum: 1 }),
  mime_type: Type.String({ minLength: 1, maxLength: MIME_TYPE_CHARACTERS }),
  expires_after: Type.Optional(expiresAfter),
});

export const PartForm = Type.Object({ data: Binary });

export const UploadCompletion = Type.Object({
  part_ids: Type.Array(Type.String({ maxLength: PART_ID_CHARACTERS }), {
    minItems: 1,
    maxItems: MAX_PARTS,
    uniqueItems: true,
  }),
  md5: Type.Optional(
    Type.Unsafe<string | null>({
      type: ["string", "null"],
      pattern: "^[0-9a-fA-F]{32}$",
      description: "Of the whole content, in hex",
    }),
  ),
});
