// Multipart forms, as they arrive: parts one by one, the file's bytes as fast as they are taken. All
// that can be wrong with a form's shape is an ApiError 400.
import multipart, { type Multipart, type MultipartFile } from "@fastify/multipart";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { ApiError } from "../core/api-error.ts";
import { unsupportedContentType } from "./errors.ts";

const FORM_TYPE = "multipart/form-data";

const limits = {
  files: 1,
  fields: 16,
  parts: 32,
  fieldSize: 16 * 1024,
  headerPairs: 32,
  headerSize: 16 * 1024,
  // The services know how large a file may be.
  fileSize: Number.POSITIVE_INFINITY,
};

/** Makes `app` take multipart forms and nothing else; a form's file is the part of this name. */
export async function takeForms(
  app: Pick<FastifyInstance, "register" | "removeAllContentTypeParsers" | "addContentTypeParser">,
  fileField: string,
): Promise<void> {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (request, _payload, done) => {
    done(unsupportedContentType(request, FORM_TYPE));
  });
  await app.register(multipart, {
    limits,
    throwFileSizeLimit: false,
    // Some clients name no file and send it as text; the field's name is what all agree on.
    isPartAFile: (name) => name === fileField,
  });
}

/** The parts of the form in the order in which they come. The file's bytes must be read before going on. */
export async function* formParts(request: FastifyRequest): AsyncGenerator<Multipart> {
  if (!request.isMultipart()) throw unsupportedContentType(request, FORM_TYPE);
  try {
    yield* request.parts();
  } catch (error) {
    throw brokenForm(error);
  }
}

export async function* fileBytes(part: MultipartFile): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of part.file) yield chunk as Uint8Array;
  } catch (error) {
    throw brokenForm(error);
  }
}

const limitMessages: Readonly<Record<string, string>> = {
  FST_FILES_LIMIT: "it has more than one file",
  FST_FIELDS_LIMIT: `it has more than ${limits.fields} fields`,
  FST_PARTS_LIMIT: `it has more than ${limits.parts} parts`,
};

function brokenForm(error: unknown): ApiError {
  const { code = "", message } = error as Error & { code?: string };
  const reason = limitMessages[code] ?? message;
  return new ApiError(400, `We could not parse the multipart form of your request: ${reason}.`);
}
