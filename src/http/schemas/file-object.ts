// A file as the API answers it, and the form and the query of its routes, which are read elsewhere:
// upload-form.ts and query.ts.
import { type Static, Type } from "typebox";
import { filePurposes, uploadPurposes } from "../../core/file.ts";
import { EXPIRES_AFTER_MAX_SECONDS, EXPIRES_AFTER_MIN_SECONDS } from "../../core/limits.ts";
import { Seconds, limitOf, nullable, oneOf } from "./schema.ts";

export const FILE_PAGE = { min: 1, max: 10_000, fallback: 10_000 };
export const FILENAME_CHARACTERS = 512;

export const FileObject = Type.Object(
  {
    object: Type.Literal("file"),
    id: Type.String(),
    purpose: oneOf(filePurposes),
    filename: Type.String(),
    bytes: Type.Integer(),
    created_at: Seconds,
    expires_at: nullable(Seconds),
    status: Type.Literal("processed"),
    status_details: Type.Null(),
  },
  { $id: "File", description: "A file." },
);
export type FileObject = Static<typeof FileObject>;

export const DeletedFile = Type.Object(
  { object: Type.Literal("file"), id: Type.String(), deleted: Type.Literal(true) },
  { $id: "DeletedFile", description: "Says that the file is gone." },
);
export type DeletedFile = Static<typeof DeletedFile>;

/** Bytes, in a form or as an answer. */
export const Binary = Type.Unsafe<unknown>({
  type: "string",
  contentMediaType: "application/octet-stream",
});

export const FileForm = Type.Object({
  file: Binary,
  purpose: oneOf(uploadPurposes),
  "expires_after[anchor]": Type.Optional(oneOf(["created_at"])),
  "expires_after[seconds]": Type.Optional(
    Type.Integer({ minimum: EXPIRES_AFTER_MIN_SECONDS, maximum: EXPIRES_AFTER_MAX_SECONDS }),
  ),
});

export const FileListQuery = Type.Object({
  purpose: Type.Optional(oneOf(filePurposes)),
  after: Type.Optional(Type.String()),
  limit: Type.Optional(limitOf(FILE_PAGE)),
  order: Type.Optional(oneOf(["asc", "desc"])),
});
