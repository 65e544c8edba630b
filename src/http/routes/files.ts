// The routes of files.
import type { FastifyReply, FastifyRequest } from "fastify";
import { type FilePurpose, filePurposes } from "../../core/file.ts";
import type { FileService } from "../../files/file-service.ts";
import type { StagedFile } from "../../files/staged-file.ts";
import type { App } from "../app.ts";
import type { IdempotencyKeys } from "../idempotency.ts";
import { fileBytes, formParts, takeForms } from "../multipart.ts";
import { idempotencyHeaders } from "../openapi.ts";
import { queryAfter, queryLimit, queryOrder, queryValue, withoutDetails } from "../query.ts";
import {
  Binary,
  DeletedFile,
  FILENAME_CHARACTERS,
  FILE_PAGE,
  FileForm,
  FileListQuery,
  FileObject,
} from "../schemas/file-object.ts";
import { ById, pageOf, reference } from "../schemas/schema.ts";
import { sendFile } from "../send-file.ts";
import { UploadForm, refusePurpose } from "../upload-form.ts";
import { deletedFileToWire, fileToWire, pageToWire } from "../wire.ts";
import { codePoints, missingParameter, stringTooLong } from "../wording.ts";

/** What a file is called that came without a name. */
const UNNAMED = "upload";

const tags = ["Files"];

export interface FileRouteParts {
  files: FileService;
  idempotency: IdempotencyKeys;
}

export function addFileRoutes(app: App, { files, idempotency }: FileRouteParts): void {
  void app.register(async (forms: App) => {
    await takeForms(forms, "file");
    forms.post(
      "/v1/files",
      {
        schema: { operationId: "createFile", tags, response: { 200: reference(FileObject) } },
        config: { documented: { form: FileForm, headers: idempotencyHeaders } },
      },
      (request, reply) => createFile(request, reply, { files, idempotency }),
    );
  });

  app.get(
    "/v1/files",
    {
      schema: { operationId: "listFiles", tags, response: { 200: pageOf(reference(FileObject)) } },
      config: { documented: { query: FileListQuery } },
    },
    async ({ projectId, query }) => {
      const page = await files.list(projectId, {
        ...withoutDetails(() => ({
          limit: queryLimit(query, FILE_PAGE),
          order: queryOrder(query),
        })),
        ...queryPurpose(query),
        ...queryAfter(query),
      });
      return pageToWire(page, fileToWire);
    },
  );

  app.get(
    "/v1/files/:id",
    {
      schema: {
        operationId: "retrieveFile",
        tags,
        params: ById,
        response: { 200: reference(FileObject) },
      },
    },
    async ({ projectId, params }) => fileToWire(await files.get(projectId, params.id)),
  );

  app.delete(
    "/v1/files/:id",
    {
      schema: {
        operationId: "deleteFile",
        tags,
        params: ById,
        response: { 200: reference(DeletedFile) },
      },
    },
    async ({ projectId, params }) => {
      await files.delete(projectId, params.id);
      return deletedFileToWire(params.id);
    },
  );

  addContentRoute(app, files);
}

function addContentRoute(app: App, files: FileService): void {
  const url = "/v1/files/:id/content";
  const content = { "application/octet-stream": { schema: Binary } };
  const whole = { description: "The content.", content };
  const range = { description: "The range of it that was asked for (beyond OpenAI).", content };
  const schema = { operationId: "downloadFile", tags, params: ById };
  app.get(
    url,
    { schema: { ...schema, response: { 200: whole, 206: range } }, exposeHeadRoute: false },
    (request, reply) => sendContent(request, reply, files),
  );
  app.head(url, { schema: { params: ById } }, (request, reply) =>
    sendContent(request, reply, files),
  );
}

function createFile(
  request: FastifyRequest,
  reply: FastifyReply,
  { files, idempotency }: FileRouteParts,
) {
  const { projectId } = request;
  return idempotency.guard(request, reply, async (settle) => {
    const form = new UploadForm();
    let staged: StagedFile | undefined;
    let filename = UNNAMED;
    try {
      for await (const part of formParts(request)) {
        if (part.type === "field") {
          form.take(part.fieldname, part.value);
          continue;
        }
        filename = part.filename || UNNAMED;
        const length = codePoints(filename);
        if (length > FILENAME_CHARACTERS) {
          throw stringTooLong("filename", FILENAME_CHARACTERS, length);
        }
        staged = await files.stage(fileBytes(part), form.purpose);
      }
      if (staged === undefined) throw missingParameter("file");
      const arrived = staged;
      const about = { filename, ...form.finish() };
      const file = await settle({
        content: { ...about, sha256: arrived.sha256 },
        find: (id) => files.get(projectId, id),
        create: (idempotent) => files.create(projectId, arrived, about, idempotent),
      });
      return fileToWire(file);
    } finally {
      await staged?.discard();
    }
  });
}

async function sendContent(
  request: FastifyRequest<{ Params: { id: string } }>,
  reply: FastifyReply,
  files: FileService,
) {
  const file = await files.getDownloadable(request.projectId, request.params.id);
  return sendFile(request, reply, file, (span) => files.read(file, span));
}

/** `purpose`; an empty one filters nothing. */
function queryPurpose(query: unknown): { purpose?: FilePurpose } {
  const value = queryValue(query, "purpose");
  if (!value) return {};
  const purpose = filePurposes.find((candidate) => candidate === value);
  return { purpose: purpose ?? refusePurpose(value, filePurposes) };
}
