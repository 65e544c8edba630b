// The routes of uploads in parts.
import type { FastifyReply, FastifyRequest } from "fastify";
import type { StagedPart, UploadService } from "../../uploads/upload-service.ts";
import type { App } from "../app.ts";
import type { IdempotencyKeys } from "../idempotency.ts";
import { fileBytes, formParts, takeForms } from "../multipart.ts";
import { idempotencyHeaders } from "../openapi.ts";
import { ById, reference } from "../schemas/schema.ts";
import {
  NewUpload,
  PartForm,
  PartObject,
  UploadCompletion,
  UploadObject,
} from "../schemas/upload-object.ts";
import { asPurpose } from "../upload-form.ts";
import { partToWire, uploadToWire } from "../wire.ts";
import { missingParameter } from "../wording.ts";

/** Putting 8 GB together takes longer than a silent connection lives; SDKs wait as long as this. */
const COMPLETING_MS = 600_000;

const tags = ["Uploads"];
const response = { 200: reference(UploadObject) };

export interface UploadRouteParts {
  uploads: UploadService;
  idempotency: IdempotencyKeys;
}

export function addUploadRoutes(app: App, { uploads, idempotency }: UploadRouteParts): void {
  app.post(
    "/v1/uploads",
    {
      schema: { operationId: "createUpload", tags, body: NewUpload, response },
      config: { documented: { headers: idempotencyHeaders } },
    },
    (request, reply) =>
      idempotency.guard(request, reply, async (settle) => {
        const { projectId, body } = request;
        const content = {
          filename: body.filename,
          purpose: asPurpose(body.purpose),
          sizeBytes: body.bytes,
          mimeType: body.mime_type,
          expiresAfterSeconds: body.expires_after?.seconds,
        };
        const view = await settle({
          content,
          find: (id) => uploads.get(projectId, id),
          create: (idempotent) => uploads.create(projectId, content, idempotent),
        });
        return uploadToWire(view);
      }),
  );

  void app.register(async (forms: App) => {
    await takeForms(forms, "data");
    forms.post(
      "/v1/uploads/:id/parts",
      {
        schema: {
          operationId: "addUploadPart",
          tags,
          params: ById,
          response: { 200: reference(PartObject) },
        },
        config: { documented: { form: PartForm, headers: idempotencyHeaders } },
      },
      (request, reply) => addPart(request, reply, { uploads, idempotency }),
    );
  });

  app.post(
    "/v1/uploads/:id/complete",
    {
      schema: {
        operationId: "completeUpload",
        tags,
        params: ById,
        body: UploadCompletion,
        response,
      },
    },
    async ({ projectId, params, body, socket, log }) => {
      socket.setTimeout(COMPLETING_MS);
      const view = await uploads.complete(projectId, params.id, {
        partIds: body.part_ids,
        md5: body.md5 ?? undefined,
      });
      log.info({ upload_id: params.id, file_id: view.upload.fileId }, "upload completed");
      return uploadToWire(view);
    },
  );

  app.post(
    "/v1/uploads/:id/cancel",
    { schema: { operationId: "cancelUpload", tags, params: ById, response } },
    async ({ projectId, params }) => uploadToWire(await uploads.cancel(projectId, params.id)),
  );
}

function addPart(
  request: FastifyRequest<{ Params: { id: string } }>,
  reply: FastifyReply,
  { uploads, idempotency }: UploadRouteParts,
) {
  const { projectId } = request;
  const uploadId = request.params.id;
  return idempotency.guard(request, reply, async (settle) => {
    let staged: StagedPart | undefined;
    try {
      for await (const part of formParts(request)) {
        if (part.type === "field") continue;
        staged = await uploads.stagePart(projectId, uploadId, fileBytes(part));
      }
      if (staged === undefined) throw missingParameter("data");
      const arrived = staged;
      const part = await settle({
        content: { uploadId, sha256: arrived.sha256 },
        find: (id) => uploads.getPart(projectId, uploadId, id),
        create: (idempotent) => uploads.addPart(projectId, arrived, idempotent),
      });
      return partToWire(part);
    } finally {
      await staged?.discard();
    }
  });
}
