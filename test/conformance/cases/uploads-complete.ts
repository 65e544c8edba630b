// Completing uploads, and the Upload object.
import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import type { Case } from "../case.ts";
import { has, ok, refused } from "../checks.ts";
import { contentOf } from "../samples.ts";
import { type WirePart, type WireUpload, partSchema, uploadSchema } from "../schemas/upload.ts";
import {
  WHOLE,
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

/** A case that looks at an upload that is pending. */
function pending(row: string, name: string, look: (upload: WireUpload) => void): Case {
  return { row, name, run: async (target) => look(await pendingUpload(target)) };
}

/** A case that looks at the answer to a part. */
function onePart(
  row: string,
  name: string,
  look: (part: WirePart, uploadId: string) => void,
): Case {
  return {
    row,
    name,
    async run(target) {
      const { id } = await pendingUpload(target);
      look(
        await target.once("part", async () => ok(await sendPart(target, id, "x"), partSchema)),
        id,
      );
    },
  };
}

export const uploadsCompleteCases: readonly Case[] = [
  {
    row: "uploads.complete",
    name: "the parts make the file in the order in which they are named",
    async run(target) {
      const upload = await completedUpload(target);
      has(upload, { status: "completed", bytes: WHOLE.length });
      has(upload.file!, { purpose: "batch", filename: "in.jsonl", bytes: WHOLE.length });
      assert.equal(await contentOf(target, upload.file!.id), WHOLE);
    },
  },
  {
    row: "uploads.complete.bytes",
    name: "parts that add up to more or less than was announced are refused, and can be mended",
    async run(target) {
      const { id, partIds } = await withParts(target);
      refused(await completeUpload(target, id, partIds.slice(1)), { status: 400 });
      ok(await completeUpload(target, id, partIds), uploadSchema);
    },
  },
  {
    row: "uploads.complete.md5",
    name: "a right md5 is taken, a wrong one refused",
    async run(target) {
      const { id, partIds } = await withParts(target);
      const md5 = createHash("md5").update(WHOLE).digest("hex");
      const wrong = md5.replaceAll(/./g, (digit) => (digit === "0" ? "1" : "0"));
      refused(await completeUpload(target, id, partIds, { md5: wrong }), { status: 400 });
      ok(await completeUpload(target, id, partIds, { md5 }), uploadSchema);
    },
  },
  {
    row: "uploads.complete.part-unknown",
    name: "a part of another upload is refused",
    async run(target) {
      const { partIds: foreign } = await completedUpload(target);
      const { id, partIds } = await withParts(target);
      refused(await completeUpload(target, id, [partIds[0]!, foreign[1]!]), { status: 400 });
    },
  },
  {
    row: "uploads.complete.member-missing",
    name: "part_ids is required",
    async run(target) {
      const { id } = await pendingUpload(target);
      const answer = await target.post(`/uploads/${id}/complete`, {});
      refused(answer, { status: 400, code: "missing_required_parameter", param: "part_ids" });
    },
  },
  {
    row: "uploads.complete.again",
    name: "completing again with the same parts gives the same file",
    needs: ["offpeak"],
    async run(target) {
      const { partIds, ...upload } = await completedUpload(target);
      assert.deepEqual(ok(await completeUpload(target, upload.id, partIds), uploadSchema), upload);
      refused(await completeUpload(target, upload.id, partIds.toReversed()), { status: 400 });
    },
  },
  {
    row: "uploads.complete.not-pending",
    name: "a cancelled upload can't be completed",
    async run(target) {
      const { id, partIds } = await withParts(target);
      ok(await cancelUpload(target, id), uploadSchema);
      refused(await completeUpload(target, id, partIds), { status: 400 });
    },
  },
  {
    row: "uploads.complete.content",
    name: "a batch input whose first line is not JSON is refused when it is whole",
    needs: ["offpeak"],
    async run(target) {
      const { id } = await beginUpload(target, { bytes: 8 });
      const partId = await newPart(target, id, "no json\n");
      refused(await completeUpload(target, id, [partId]), {
        status: 400,
        message: "Invalid file format for Batch API. Must be .jsonl",
      });
    },
  },
  {
    row: "upload",
    name: "nine members in their order, in each status",
    async run(target) {
      for (const upload of [await pendingUpload(target), await cancelledUpload(target)]) {
        assert.deepEqual(Object.keys(upload), Object.keys(uploadSchema.properties!));
      }
    },
  },
  {
    row: "upload.id",
    name: "begins with upload_",
    async run(target) {
      assert.match((await pendingUpload(target)).id, /^upload_[0-9a-zA-Z]+$/);
    },
  },
  {
    row: "upload.status",
    name: "pending, completed, cancelled",
    async run(target) {
      has(await pendingUpload(target), { status: "pending" });
      has(await completedUpload(target), { status: "completed" });
      has(await cancelledUpload(target), { status: "cancelled" });
    },
  },
  {
    row: "upload.expires_at",
    name: "an hour after the creation",
    async run(target) {
      const { created_at: at, expires_at: end } = await pendingUpload(target);
      assert.equal(end, at + 3_600);
    },
  },
  {
    row: "upload.file",
    name: "the File once it is completed, null before",
    async run(target) {
      assert.equal((await pendingUpload(target)).file, null);
      const { file } = await completedUpload(target);
      assert.deepEqual((await target.send(`/files/${file!.id}`)).json, file);
    },
  },
  pending("upload.object", 'always "upload"', (upload) => has(upload, { object: "upload" })),
  pending("upload.bytes", "what was announced", (upload) => has(upload, { bytes: WHOLE.length })),
  pending("upload.created_at", "whole seconds, now", ({ created_at: at }) => {
    assert.ok(Math.abs(Date.now() / 1_000 - at) < 7_200, String(at));
  }),
  pending("upload.filename", "as it was sent", (upload) => has(upload, { filename: "in.jsonl" })),
  pending("upload.purpose", "as it was sent", (upload) => has(upload, { purpose: "batch" })),
  onePart("upload.part", "id, object, created_at and upload_id, in this order", (part) =>
    assert.deepEqual(Object.keys(part), ["id", "object", "created_at", "upload_id"]),
  ),
  onePart("upload.part.id", "begins with part_", ({ id }) => assert.match(id, /^part_/)),
  onePart("upload.part.object", 'always "upload.part"', (part) =>
    has(part, { object: "upload.part" }),
  ),
  onePart("upload.part.created_at", "whole seconds, now", ({ created_at: at }) => {
    assert.ok(Math.abs(Date.now() / 1_000 - at) < 7_200, String(at));
  }),
  onePart("upload.part.upload_id", "the upload it was sent to", (part, uploadId) =>
    assert.equal(part.upload_id, uploadId),
  ),
];
