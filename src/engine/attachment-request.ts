// Makes the request of a line whose body refers to files: a form with the files as its parts, or JSON with
// the files inside, as the upstream wants it.

import { type Attachment, attachmentsOf } from "../core/attachments.ts";
import { overlayBody, replaceMember } from "../core/body-overlay.ts";
import type { Endpoint } from "../core/endpoints.ts";
import { encodeForm } from "../core/form-body.ts";
import { readMembers } from "../core/json-members.ts";
import type { AttachmentForm } from "../core/upstream.ts";
import {
  ATTACHED_BYTES_MAX,
  type AttachedFile,
  type AttachedFiles,
  unsendable,
} from "./attached-files.ts";

export interface RequestBody {
  contentType: string;
  body: Uint8Array;
}

export interface AttachmentRequestOptions {
  endpoint: Endpoint;
  form: AttachmentForm;
  files: AttachedFiles;
  projectId: string;
  /** Resolves when so many bytes may be loaded. */
  reserve: (sizeBytes: number) => Promise<void>;
  signal: AbortSignal;
}

/** How often the files are in memory at once while the request is made: as they are, and as text. */
const COPIES: Record<AttachmentForm, number> = { multipart: 2, json: 6 };
const decoder = new TextDecoder();

export function jsonBody(body: Uint8Array): RequestBody {
  return { contentType: "application/json", body };
}

/** The request for a line's body, which stays JSON when no file has to go with it. Throws AttachmentError. */
export async function attachFiles(
  body: Uint8Array,
  { endpoint, form, files, projectId, reserve, signal }: AttachmentRequestOptions,
): Promise<RequestBody> {
  const members = JSON.parse(decoder.decode(body)) as Record<string, unknown>;
  const attachments = attachmentsOf(members, endpoint.attachments);
  if (attachments.length === 0) return jsonBody(body);
  // A backend that takes JSON fetches what has a URL by itself.
  const isNeeded = ({ reference }: Attachment) => form === "multipart" || "fileId" in reference;
  const loaded = new Map<Attachment, AttachedFile>();
  const needed = attachments.filter(isNeeded);
  const found = await Promise.all(
    needed.map(async (attachment) => ({
      attachment,
      file: await files.find(projectId, attachment),
    })),
  );
  const sizeBytes = found.reduce((sum, { file }) => sum + file.sizeBytes, 0);
  if (sizeBytes > ATTACHED_BYTES_MAX) throw tooLarge();
  await reserve(sizeBytes * COPIES[form]);
  let loadedBytes = 0;
  for (const { attachment, file } of found) {
    signal.throwIfAborted();
    const one = await file.load(signal);
    loadedBytes += one.bytes.length;
    if (loadedBytes > ATTACHED_BYTES_MAX) throw tooLarge();
    loaded.set(attachment, one);
  }
  return form === "multipart"
    ? formWith(body, members, attachments, loaded)
    : jsonWith(body, members, endpoint, attachments, loaded);
}

function tooLarge() {
  const message = `The files of this request have more than the ${ATTACHED_BYTES_MAX} bytes allowed together.`;
  return unsendable("invalid_file", message);
}

function formWith(
  body: Uint8Array,
  members: Readonly<Record<string, unknown>>,
  attachments: readonly Attachment[],
  loaded: ReadonlyMap<Attachment, AttachedFile>,
): RequestBody {
  const referring = new Set(attachments.map(({ rule }) => rule.member));
  const fields = readMembers(body)
    .filter(({ name }) => !referring.has(name))
    // Numbers as the client wrote them.
    .flatMap(({ name, start, end }) =>
      fieldsOf(name, members[name], decoder.decode(body.subarray(start, end))),
    );
  const files = [...loaded].map(([{ rule }, file]) => {
    const isOne = attachments.filter((other) => other.rule === rule).length === 1;
    return { ...file, name: isOne ? rule.part : `${rule.part}[]` };
  });
  return encodeForm(fields, files);
}

/** As the OpenAI SDKs put a value into a form. */
function fieldsOf(name: string, value: unknown, json: string): [string, string][] {
  if (value === null) return [];
  if (typeof value === "string") return [[name, value]];
  if (!Array.isArray(value)) return [[name, json]];
  return value.map((element: unknown) => [
    `${name}[]`,
    typeof element === "string" ? element : JSON.stringify(element),
  ]);
}

function jsonWith(
  body: Uint8Array,
  members: Readonly<Record<string, unknown>>,
  { attachments: rules }: Endpoint,
  attachments: readonly Attachment[],
  loaded: ReadonlyMap<Attachment, AttachedFile>,
): RequestBody {
  let result = body;
  for (const { member, most, urlMember, jsonMember } of rules) {
    const own = attachments.filter(({ rule }) => rule.member === member);
    if (own.length === 0) continue;
    const references = [members[member]].flat() as Record<string, unknown>[];
    const replaced = own.map((attachment, at) => {
      const file = loaded.get(attachment);
      if (!file) return references[at];
      const { file_id: _, ...others } = references[at] ?? {};
      const { buffer, byteOffset, length } = file.bytes;
      const base64 = Buffer.from(buffer, byteOffset, length).toString("base64");
      return { ...others, [urlMember]: `data:${file.mediaType};base64,${base64}` };
    });
    if (jsonMember !== null) {
      const value = replaced[0]?.[urlMember];
      result = replaceMember(result, member, { newName: jsonMember, value });
    } else if (own.some((attachment) => loaded.has(attachment))) {
      result = overlayBody(result, { [member]: most === null ? replaced[0] : replaced });
    }
  }
  return jsonBody(result);
}
