// One HTTP exchange on a raw socket, timed from its first byte to the last of the answer: the same client
// for the server and for its references, and cheap enough to leave the machine to them.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

export interface Exchange {
  status: number;
  /** The beginning of the body, which is all of it when it is JSON. */
  text: string;
  bodyBytes: number;
  tookMs: number;
}

export interface Upload {
  content: Readable;
  sizeBytes: number;
}

const HEADER_END = "\r\n\r\n";
const TEXT_BYTES = 64 * 1024;
const BOUNDARY = "offpeak-bench";

export async function exchange(url: string, method: string, upload?: Upload): Promise<Exchange> {
  const { hostname, port, pathname, host } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, "connect");
  const startedMs = performance.now();
  const answered = readAnswer(socket);
  const head = `${method} ${pathname} HTTP/1.1\r\nhost: ${host}\r\n`;
  if (!upload) socket.write(`${head}\r\n`);
  else {
    const [before, after] = formAround("input.jsonl");
    const length = before.length + upload.sizeBytes + after.length;
    socket.write(
      `${head}content-type: multipart/form-data; boundary=${BOUNDARY}\r\ncontent-length: ${length}${HEADER_END}${before}`,
    );
    await pipeline(upload.content, socket, { end: false });
    socket.write(after);
  }
  const answer = await answered;
  const tookMs = performance.now() - startedMs;
  socket.destroy();
  return { ...answer, tookMs };
}

function formAround(filename: string): [before: string, after: string] {
  const part = `--${BOUNDARY}\r\ncontent-disposition: form-data; name=`;
  return [
    `${part}"purpose"\r\n\r\nbatch\r\n${part}"file"; filename="${filename}"\r\ncontent-type: application/jsonl\r\n\r\n`,
    `\r\n--${BOUNDARY}--\r\n`,
  ];
}

function readAnswer(socket: Socket): Promise<Omit<Exchange, "tookMs">> {
  let start: Buffer = Buffer.alloc(0);
  let received = 0;
  let bodyAt = 0;
  let end = Number.POSITIVE_INFINITY;
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => {
      reject(new Error(`the connection ended after ${received} bytes of an answer of ${end}`));
    });
    socket.on("data", (bytes: Buffer) => {
      received += bytes.length;
      if (start.length < TEXT_BYTES) start = Buffer.concat([start, bytes]);
      if (bodyAt === 0 && start.includes(HEADER_END)) {
        bodyAt = start.indexOf(HEADER_END) + HEADER_END.length;
        end =
          bodyAt + Number(/content-length: (\d+)/i.exec(start.toString("latin1", 0, bodyAt))?.[1]);
      }
      if (received < end) return;
      const status = Number(start.toString("latin1", 9, 12));
      resolve({ status, text: start.toString("utf8", bodyAt), bodyBytes: received - bodyAt });
    });
  });
}
