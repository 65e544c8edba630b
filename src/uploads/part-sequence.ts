// The parts of an upload as one stream of bytes, in the order its client asked for, hashed in passing.
import { type Hash, createHash } from "node:crypto";
import { ApiError } from "../core/api-error.ts";
import type { BlobStore } from "../core/blob-store.ts";
import type { Upload, UploadPart } from "../core/upload.ts";

/**
 * The parts that `partIds` names, in that order, once they are all there and as large as the upload
 * was announced. Throws ApiError.
 * @param found what the upload has of them
 */
export function pickParts(
  upload: Upload,
  partIds: readonly string[],
  found: readonly UploadPart[],
): UploadPart[] {
  const byId = new Map(found.map((part) => [part.id, part]));
  const parts = partIds.map((id, index) => byId.get(id) ?? noSuchPart(upload, id, index));
  const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
  if (sizeBytes === upload.sizeBytes) return parts;
  throw new ApiError(
    400,
    `The parts add up to ${sizeBytes} bytes, but the upload was created for ${upload.sizeBytes} bytes.`,
    { code: "invalid_value", param: "part_ids" },
  );
}

export class PartSequence implements AsyncIterable<Uint8Array> {
  readonly #blobs: BlobStore;
  readonly #parts: readonly UploadPart[];
  readonly #expectedMd5: string | undefined;
  readonly #md5: Hash | undefined;

  /** @param expectedMd5 hex; undefined when the client gave none */
  constructor(blobs: BlobStore, parts: readonly UploadPart[], expectedMd5: string | undefined) {
    this.#blobs = blobs;
    this.#parts = parts;
    this.#expectedMd5 = expectedMd5;
    this.#md5 = expectedMd5 === undefined ? undefined : createHash("md5");
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (const { blobKey } of this.#parts) {
      for await (const chunk of this.#blobs.read(blobKey)) {
        this.#md5?.update(chunk);
        yield chunk;
      }
    }
  }

  /** After the last byte: throws ApiError when the content is not what the client meant to send. */
  check(): void {
    const md5 = this.#md5?.digest("hex");
    if (md5 === this.#expectedMd5?.toLowerCase()) return;
    throw new ApiError(
      400,
      `The MD5 checksum of the content is '${md5}', not '${this.#expectedMd5}': send the parts that are damaged again.`,
      { code: "invalid_value", param: "md5" },
    );
  }
}

function noSuchPart({ id }: Upload, partId: string, index: number): never {
  throw new ApiError(400, `Invalid 'part_ids[${index}]': ${id} has no part '${partId}'.`, {
    code: "invalid_value",
    param: `part_ids[${index}]`,
  });
}
