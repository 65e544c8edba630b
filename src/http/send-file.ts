// Sends the content of a file, or the range of it that a client asks for, so that a download that broke
// off can go on.
import type { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { ApiError } from "../core/api-error.ts";
import type { StoredFile } from "../core/file.ts";
import type { ByteSpan } from "../files/blob-stream.ts";
import { requestedRange } from "./byte-range.ts";
import { contentDisposition } from "./content-disposition.ts";

/** 200 or 206. Throws ApiError 416 for a range of which the file has no byte. HEAD knows no ranges. */
export async function sendFile(
  { method, headers }: FastifyRequest,
  reply: FastifyReply,
  { id, filename, sizeBytes }: StoredFile,
  read: (span: ByteSpan) => Promise<Readable>,
) {
  // Files never change, so an id stands for one content.
  const etag = `"${id}"`;
  const isHead = method === "HEAD";
  const range = isHead ? undefined : requestedRange(headers, { sizeBytes, etag });
  if (range === "unsatisfiable") {
    reply.header("content-range", `bytes */${sizeBytes}`);
    throw notSatisfiable(headers.range ?? "", sizeBytes);
  }
  const { start, end } = range ?? { start: 0, end: sizeBytes };
  const content = isHead ? undefined : await read({ start, end });
  if (range !== undefined) {
    reply.code(206).header("content-range", `bytes ${start}-${end - 1}/${sizeBytes}`);
  }
  return reply
    .type("application/octet-stream")
    .headers({
      "accept-ranges": "bytes",
      etag,
      "content-length": end - start,
      "content-disposition": contentDisposition(filename),
    })
    .send(content);
}

function notSatisfiable(range: string, sizeBytes: number): ApiError {
  return new ApiError(
    416,
    `The range '${range.slice(0, 100)}' can't be had: the file has ${sizeBytes} bytes.`,
  );
}
