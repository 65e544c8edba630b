// Uploads in parts: announcing them, their parts, cancelling.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { has, ok, refused } from "../checks.ts";
import { DAY_SECONDS, contentOf } from "../samples.ts";
import { uploadSchema } from "../schemas/upload.ts";
import {
  FIRST,
  SECOND,
  WHOLE,
  UNKNOWN_UPLOAD,
  announce,
  beginUpload,
  sendPart,
  newPart,
  completeUpload,
  cancelUpload,
  withParts,
  completedUpload,
  pendingUpload,
  cancelledUpload,
} from "./upload-steps.ts";

export const uploadsCases: readonly Case[] = [
  {
    row: "uploads.create",
    name: "the answer is 200 with an upload that is pending",
    async run(target) {
      has(await beginUpload(target), {
        bytes: WHOLE.length,
        filename: "in.jsonl",
        purpose: "batch",
        status: "pending",
        file: null,
      });
    },
  },
  {
    row: "uploads.create.member-missing",
    name: "filename, purpose, bytes and mime_type are required",
    async run(target) {
      for (const name of ["filename", "purpose", "bytes", "mime_type"]) {
        const answer = await announce(target, { [name]: undefined });
        refused(answer, { status: 400, code: "missing_required_parameter", param: name });
      }
    },
  },
  {
    row: "uploads.create.purpose",
    name: "the four purposes of OpenAI's uploads are taken",
    async run(target) {
      for (const purpose of ["assistants", "batch", "fine-tune", "vision"]) {
        has(await beginUpload(target, { purpose }), { purpose });
      }
    },
  },
  {
    row: "uploads.create.purpose",
    name: "… and an unknown one is refused",
    async run(target) {
      refused(await announce(target, { purpose: "batches" }), { status: 400, param: "purpose" });
    },
  },
  {
    row: "uploads.create.bytes",
    name: "bytes is a whole number that is not negative",
    async run(target) {
      for (const bytes of [-1, 1.5, "12"]) {
        refused(await announce(target, { bytes }), { status: 400, param: "bytes" });
      }
    },
  },
  {
    row: "uploads.create.too-large",
    name: "more bytes than a file may have are refused before any is sent",
    needs: ["other-settings"],
    async run(target) {
      const small = target.with("other-settings");
      refused(await announce(small, { bytes: 6_001, purpose: "fine-tune" }), { status: 400 });
      await beginUpload(small, { bytes: 6_000, purpose: "fine-tune" });
    },
  },
  {
    row: "uploads.create.expires-after",
    name: "expires_after is the lifetime of the file; a batch input has 30 days without it",
    async run(target) {
      const expiresAfter = { anchor: "created_at", seconds: 7_200 };
      const { id, partIds } = await withParts(target, { expires_after: expiresAfter });
      const { file } = ok(await completeUpload(target, id, partIds), uploadSchema);
      assert.equal(file?.expires_at, file!.created_at + 7_200);
      const other = (await completedUpload(target)).file!;
      assert.equal(other.expires_at, other.created_at + 30 * DAY_SECONDS);
    },
  },
  {
    row: "uploads.create.extension",
    name: "a batch input must be named .jsonl here too",
    needs: ["offpeak"],
    async run(target) {
      refused(await announce(target, { filename: "in.txt" }), {
        status: 400,
        message: "Invalid file format for Batch API. Must be .jsonl",
      });
    },
  },
  {
    row: "uploads.parts",
    name: "parts are taken in any order, each with an id of its own",
    async run(target) {
      const { partIds } = await withParts(target);
      assert.notEqual(partIds[0], partIds[1]);
    },
  },
  {
    row: "uploads.parts",
    name: "… and at the same time",
    async run(target) {
      const { id } = await beginUpload(target);
      const partIds = await Promise.all([newPart(target, id, FIRST), newPart(target, id, SECOND)]);
      const { file } = ok(await completeUpload(target, id, partIds), uploadSchema);
      assert.equal(await contentOf(target, file!.id), WHOLE);
    },
  },
  {
    row: "uploads.parts.data-missing",
    name: "a form without `data` is a 400",
    async run(target) {
      const { id } = await pendingUpload(target);
      const body = new FormData();
      body.append("other", "x");
      const answer = await target.send(`/uploads/${id}/parts`, { method: "POST", body });
      refused(answer, { status: 400 });
    },
  },
  {
    row: "uploads.parts.too-large",
    name: "a part over the limit is refused",
    needs: ["other-settings"],
    async run(target) {
      const small = target.with("other-settings");
      const { id } = await beginUpload(small, { bytes: 6_000, purpose: "fine-tune" });
      await newPart(small, id, "x".repeat(2_000));
      refused(await sendPart(small, id, "x".repeat(2_001)), { status: 400, param: "data" });
    },
  },
  {
    row: "uploads.parts.not-pending",
    name: "nothing can be added to an upload that is completed or cancelled",
    async run(target) {
      for (const { id } of [await completedUpload(target), await cancelledUpload(target)]) {
        refused(await sendPart(target, id, "x"), { status: 400 });
      }
    },
  },
  {
    row: "uploads.cancel",
    name: "the answer is 200 with the upload, cancelled, without a file",
    async run(target) {
      has(await cancelledUpload(target), { status: "cancelled", file: null });
    },
  },
  {
    row: "uploads.cancel.body",
    name: "an empty body typed as JSON, as Python sends it, is taken",
    async run(target) {
      const { id } = await beginUpload(target);
      const headers = { "content-type": "application/json" };
      const answer = await cancelUpload(target, id, { headers, body: "" });
      has(ok(answer, uploadSchema), { status: "cancelled" });
    },
  },
  {
    row: "uploads.cancel.again",
    name: "cancelling again changes nothing",
    needs: ["offpeak"],
    async run(target) {
      const upload = await cancelledUpload(target);
      assert.deepEqual(ok(await cancelUpload(target, upload.id), uploadSchema), upload);
    },
  },
  {
    row: "uploads.cancel.not-pending",
    name: "a completed upload can't be cancelled",
    async run(target) {
      const { id } = await completedUpload(target);
      refused(await cancelUpload(target, id), { status: 400 });
    },
  },
  {
    row: "uploads.unknown",
    name: "an unknown upload is a 404 about `upload_id`",
    async run(target) {
      const refusal = { status: 404, code: null, param: "upload_id" };
      refused(await sendPart(target, UNKNOWN_UPLOAD, "x"), refusal);
      refused(await completeUpload(target, UNKNOWN_UPLOAD, ["part_1"]), refusal);
      refused(await cancelUpload(target, UNKNOWN_UPLOAD), refusal);
    },
  },
  {
    row: "uploads.foreign",
    name: "so is one of another project",
    needs: ["other-project"],
    async run(target) {
      const other = target.with("other-project");
      const { id } = await pendingUpload(target);
      const refusal = { status: 404, code: null, param: "upload_id" };
      refused(await sendPart(other, id, "x"), refusal);
      refused(await completeUpload(other, id, ["part_1"]), refusal);
      refused(await cancelUpload(other, id), refusal);
    },
  },
  {
    row: "uploads.no-get",
    name: "uploads can be neither retrieved nor listed",
    async run(target) {
      const { id } = await pendingUpload(target);
      for (const path of ["/uploads", `/uploads/${id}`]) {
        const { status } = await target.send(path);
        assert.ok(status === 404 || status === 405, `${path}: ${status}`);
      }
    },
  },
];
