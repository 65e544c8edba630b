// The steps of an upload in parts, and one upload in each status, made when first asked for.
import { ok } from "../checks.ts";
import { type WireUpload, partSchema, uploadSchema } from "../schemas/upload.ts";
import type { Answer, Target } from "../target.ts";

export const FIRST = '{"custom_id": "a"}\n{"custom';
export const SECOND = '_id": "b"}\n';
export const WHOLE = FIRST + SECOND;
export const UNKNOWN_UPLOAD = "upload_00000000000000000000000000000000";

const announcement = {
  filename: "in.jsonl",
  purpose: "batch",
  bytes: WHOLE.length,
  mime_type: "application/jsonl",
};

export function announce(target: Target, members: object = {}): Promise<Answer> {
  return target.post("/uploads", { ...announcement, ...members });
}

export async function beginUpload(target: Target, members: object = {}): Promise<WireUpload> {
  return ok(await announce(target, members), uploadSchema);
}

export function sendPart(target: Target, uploadId: string, data: string): Promise<Answer> {
  const body = new FormData();
  body.append("data", new Blob([data]), "part");
  return target.send(`/uploads/${uploadId}/parts`, { method: "POST", body });
}

export async function newPart(target: Target, uploadId: string, data: string): Promise<string> {
  return ok(await sendPart(target, uploadId, data), partSchema).id;
}

export function completeUpload(target: Target, id: string, partIds: string[], more: object = {}) {
  return target.post(`/uploads/${id}/complete`, { part_ids: partIds, ...more });
}

export function cancelUpload(target: Target, id: string, request: object = {}): Promise<Answer> {
  return target.send(`/uploads/${id}/cancel`, { method: "POST", ...request });
}

/** An upload with both its parts, which were sent in the wrong order. */
export async function withParts(target: Target, members: object = {}) {
  const { id } = await beginUpload(target, members);
  const second = await newPart(target, id, SECOND);
  const first = await newPart(target, id, FIRST);
  return { id, partIds: [first, second] };
}

/** An upload that was completed. */
export function completedUpload(target: Target): Promise<WireUpload & { partIds: string[] }> {
  return target.once("completed upload", async () => {
    const { id, partIds } = await withParts(target);
    return { ...ok(await completeUpload(target, id, partIds), uploadSchema), partIds };
  });
}

export function pendingUpload(target: Target): Promise<WireUpload> {
  return target.once("pending upload", () => beginUpload(target));
}

export function cancelledUpload(target: Target): Promise<WireUpload> {
  return target.once("cancelled upload", async () => {
    const { id } = await beginUpload(target);
    return ok(await cancelUpload(target, id), uploadSchema);
  });
}
