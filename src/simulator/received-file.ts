// What a request's file was, for the answer to report: a test compares the SHA-256 with that of what it sent.
// Files come as parts of a form or in data URLs; other URLs are reported and never fetched.
import { hash } from "node:crypto";
import { isObject, wrong } from "./members.ts";
import type { FormPart } from "./multipart-form.ts";
import { type Refusal, refusal } from "./refusal.ts";

/** In the spelling of the answer. `member` is the member or part of the request that had the file. */
export type ReceivedFile =
  | {
      member: string;
      sha256: string;
      size_bytes: number;
      content_type: string | null;
      file_name: string | null;
    }
  | { member: string; url: string };

const DATA_URL_HEAD = /^data:([^,]{0,200});base64,/i;
const NOT_BASE64 = /[^A-Za-z0-9+/=]/;

export function fileInPart({ name, bytes, contentType, fileName }: FormPart): ReceivedFile {
  return described(name, bytes, contentType, fileName);
}

/**
 * The file that `holder` refers to by its member `urlMember`. A 400 for a `file_id`, which this backend
 * cannot know, and for what is no URL; `param` names the holder in it.
 */
export function fileInReference(
  member: string,
  holder: unknown,
  urlMember: "image_url" | "file_url",
  param = member,
): ReceivedFile | Refusal {
  const { [urlMember]: url, file_id: fileId } = isObject(holder) ? holder : {};
  if (typeof fileId === "string") {
    const message = `'${param}': the file '${fileId}' is not known to this backend, which keeps no files.`;
    return refusal(400, message, "file_not_found", param);
  }
  const expected = `a ${urlMember} that is an http(s) URL or a data URL in base64`;
  if (typeof url !== "string") return wrong(param, expected, url ?? holder);
  if (/^https?:\/\//i.test(url)) return { member, url };
  const head = DATA_URL_HEAD.exec(url);
  const data = url.slice(head?.[0].length);
  if (head === null || NOT_BASE64.test(data)) return wrong(param, expected, url);
  return described(member, Buffer.from(data, "base64"), head[1], undefined);
}

function described(
  member: string,
  bytes: Buffer,
  contentType: string | undefined,
  fileName: string | undefined,
): ReceivedFile {
  return {
    member,
    sha256: hash("sha256", bytes),
    size_bytes: bytes.length,
    content_type: contentType ?? null,
    file_name: fileName ?? null,
  };
}
