// The routes of files.
import type { FastifyReply, FastifyRequest } from "fastify";
import { type FilePurpose, filePurposes } from "../../core/file.ts";
import type { FileService } from "../../files/file-service.ts";
import type { StagedFile } from "../../files/staged-file.ts";
import type { App } from "../app.ts";
import { contentDisposition } from "../content-disposition.ts";
import { unsupportedContentType } from "../errors.ts";
import { fileBytes, formParts, takeForms } from "../multipart.ts";
import { queryAfter, queryLimit, queryOrder, queryValue, withoutDetails } from "../query.ts";
import { UploadForm, refusePurpose } from "../upload-form.ts";
import { deletedFileToWire, fileToWire, pageToWire } from "../wire.ts";
import { codePoints, missingParameter, stringTooLong } from "../wording.ts";

const LIST_LIMIT = { min: 1, max: 10_000, fallback: 10_000 };
const FILENAME_CHARACTERS = 512;
/** What a file is called that came without a name. */
const UNNAMED = "upload";

interface FileParams {
  Params: { id: string };
}

export function addFileRoutes(app: App, files: FileService): void {
  void app.register(async (forms) => {
    forms.removeAllContentTypeParsers();
    forms.addContentTypeParser("*", (request, _payload, done) => {
      done(unsupportedContentType(request, "multipart/form-data"));
    });
    await takeForms(forms, "file");
    forms.post("/v1/files", (request) => createFile(request, files));
  });

  app.get("/v1/files", async ({ projectId, query }) => {
    const page = await files.list(projectId, {
      ...withoutDetails(() => ({
        limit: queryLimit(query, LIST_LIMIT),
        order: queryOrder(query),
      })),
      ...queryPurpose(query),
      ...queryAfter(query),
    });
    return pageToWire(page, fileToWire);
  });

  app.get<FileParams>("/v1/files/:id", async ({ projectId, params }) =>
    fileToWire(await files.get(projectId, params.id)),
  );

  app.delete<FileParams>("/v1/files/:id", async ({ projectId, params }) => {
    await files.delete(projectId, params.id);
    return deletedFileToWire(params.id);
  });

  app.route<FileParams>({
    url: "/v1/files/:id/content",
    method: ["GET", "HEAD"],
    exposeHeadRoute: false,
    handler: (request, reply) => sendContent(request, reply, files),
  });
}

async function createFile(request: FastifyRequest, files: FileService) {
  if (!request.isMultipart()) throw unsupportedContentType(request, "multipart/form-data");
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
    const file = await files.create(request.projectId, staged, { filename, ...form.finish() });
    return fileToWire(file);
  } finally {
    await staged?.discard();
  }
}

async function sendContent(
  { projectId, params, method }: FastifyRequest<FileParams>,
  reply: FastifyReply,
  files: FileService,
) {
  const file = await files.getDownloadable(projectId, params.id);
  const content = method === "HEAD" ? undefined : await files.read(file);
  return reply
    .type("application/octet-stream")
    .header("content-length", file.sizeBytes)
    .header("content-disposition", contentDisposition(file.filename))
    .send(content);
}

/** `purpose`; an empty one filters nothing. */
function queryPurpose(query: unknown): { purpose?: FilePurpose } {
  const value = queryValue(query, "purpose");
  if (!value) return {};
  const purpose = filePurposes.find((candidate) => candidate === value);
  return { purpose: purpose ?? refusePurpose(value, filePurposes) };
}
