// Gets the files that a line refers to: uploaded ones, those inside a data URL, and those behind a URL.
// What can't be had is the line's own outcome, never the batch's.

import type { Attachment } from "../core/attachments.ts";
import type { BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import type { FilePurpose, StoredFile } from "../core/file.ts";
import { extensionOf, mediaTypeOf } from "../core/media-type.ts";
import { type FetchRemote, RemoteFileRefusedError } from "../core/remote-file.ts";
import { excerpt } from "../core/request-line.ts";
import type { LineOutcome } from "../core/retry.ts";
import { type FileStore, NotFoundError } from "../core/store.ts";

export interface AttachedFile {
  filename: string;
  mediaType: string;
  bytes: Uint8Array;
}

/** A file that is there, as far as can be said without loading it. */
export interface FoundFile {
  /** A guess for one behind a URL. */
  sizeBytes: number;
  /** Throws AttachmentError. */
  load(signal: AbortSignal): Promise<AttachedFile>;
}

/** A line can't be sent for want of a file; `outcome` is what becomes of it. */
export class AttachmentError extends Error {
  override readonly name = "AttachmentError";
  readonly outcome: LineOutcome;

  constructor(outcome: Extract<LineOutcome, { kind: "unsendable" | "unprepared" }>) {
    super(outcome.message);
    this.outcome = outcome;
  }
}

export interface AttachedFilesOptions {
  files: FileStore;
  blobs: BlobStore;
  clock: Clock;
  fetchRemote: FetchRemote;
}

/** All files of one request. */
export const ATTACHED_BYTES_MAX = 50 * 1024 * 1024;
const GUESSED_BYTES = 2 * 1024 * 1024;
const PURPOSES: readonly FilePurpose[] = ["vision", "user_data"];
const DATA_URL = /^data:([^,;]*)[^,]*,/i;

export class AttachedFiles {
  readonly #options: AttachedFilesOptions;

  constructor(options: AttachedFilesOptions) {
    this.#options = options;
  }

  /** Throws AttachmentError for a file that the project does not have, or has for another purpose. */
  async find(projectId: string, { reference, param, rule }: Attachment): Promise<FoundFile> {
    if ("fileId" in reference) return this.#findUploaded(projectId, reference.fileId, param);
    const { url } = reference;
    if (!/^data:/i.test(url)) {
      return { sizeBytes: GUESSED_BYTES, load: (signal) => this.#fetch(url, rule.part, signal) };
    }
    return {
      sizeBytes: Math.ceil((url.length * 3) / 4),
      load: () => Promise.resolve(decodeDataUrl(url, rule.part)),
    };
  }

  async #findUploaded(projectId: string, fileId: string, param: string): Promise<FoundFile> {
    const { files, clock } = this.#options;
    const named = `The file '${excerpt(fileId)}' at ${param}`;
    const file = await files.get(projectId, fileId, clock.now());
    if (!file) {
      throw unsendable("invalid_file", `${named} does not exist, or has been deleted.`);
    }
    if (!PURPOSES.includes(file.purpose)) {
      const expected = PURPOSES.map((purpose) => `'${purpose}'`).join(" or ");
      const message = `${named} has the purpose '${file.purpose}'. Expected ${expected}.`;
      throw unsendable("invalid_file", message);
    }
    return { sizeBytes: file.sizeBytes, load: () => this.#read(file, named) };
  }

  async #read({ blobKey, filename }: StoredFile, named: string): Promise<AttachedFile> {
    try {
      const reader = await this.#options.blobs.open(blobKey);
      try {
        const bytes = await reader.read(0, reader.sizeBytes);
        return { filename, mediaType: mediaTypeOf(bytes, filename), bytes };
      } finally {
        await reader.close();
      }
    } catch (error) {
      if (error instanceof NotFoundError) {
        throw unsendable("invalid_file", `${named} has been deleted.`);
      }
      throw error;
    }
  }

  async #fetch(url: string, part: string, signal: AbortSignal): Promise<AttachedFile> {
    const { fetchRemote } = this.#options;
    const { hostname, pathname } = URL.parse(url) ?? { hostname: "", pathname: "" };
    try {
      const { bytes, contentType } = await fetchRemote(url, {
        maxBytes: ATTACHED_BYTES_MAX,
        signal,
      });
      const filename = pathname.slice(pathname.lastIndexOf("/") + 1);
      return described(bytes, contentType?.split(";")[0]?.trim(), part, filename);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      const message = `The file at ${excerpt(hostname)} can't be fetched: ${excerpt(detail)}`;
      const kind = error instanceof RemoteFileRefusedError ? "unsendable" : "unprepared";
      throw new AttachmentError({ kind, code: "invalid_file_url", message });
    }
  }
}

function decodeDataUrl(url: string, part: string): AttachedFile {
  const [head, mediaType] = DATA_URL.exec(url) ?? [""];
  const bytes = Buffer.from(url.slice(head?.length), "base64");
  return described(bytes, mediaType, part, "");
}

/** @param filename empty when it has no name of its own */
function described(
  bytes: Uint8Array,
  declared: string | undefined,
  part: string,
  filename: string,
): AttachedFile {
  const seen = mediaTypeOf(bytes, filename);
  const mediaType = seen === "application/octet-stream" && declared ? declared : seen;
  return { filename: filename || `${part}${extensionOf(mediaType)}`, mediaType, bytes };
}

export function unsendable(
  code: "invalid_file" | "invalid_file_url",
  message: string,
): AttachmentError {
  return new AttachmentError({ kind: "unsendable", code, message });
}
