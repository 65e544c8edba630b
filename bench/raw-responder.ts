// A backend that is not the bottleneck: answers every POST on a raw socket with the same chat
// completion, at once or after a fixed time. Options: --latency-ms N, --answer-bytes N. Prints its base
// URL; takes the messages of backend.ts; ends with the process that started it.

import { createServer, type Socket } from "node:net";
import { parseArgs } from "node:util";
import type { BackendOrder, BackendStats } from "./backend.ts";

const { values: options } = parseArgs({
  options: {
    "latency-ms": { type: "string", default: "0" },
    "answer-bytes": { type: "string", default: "600" },
  },
});
const latencyMs = Number(options["latency-ms"]);

function completion(content: string): string {
  return JSON.stringify({
    id: "chatcmpl-bench",
    object: "chat.completion",
    created: 1_700_000_000,
    model: "bench",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    usage: { prompt_tokens: 200, completion_tokens: 100, total_tokens: 300 },
  });
}

function response(body: string): Buffer {
  return Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

const filler = "x".repeat(Math.max(0, Number(options["answer-bytes"]) - completion("").length));
const answer = response(completion(filler));
const modelList = response(
  JSON.stringify({ object: "list", data: [{ id: "bench", object: "model" }] }),
);
const HEADER_END = "\r\n\r\n";
const GET = "G".charCodeAt(0);

/** POSTs that may still be answered; those beyond wait in `held`. */
let answersLeft = Number.POSITIVE_INFINITY;
const held: Socket[] = [];
let posts = 0;
let firstPostAtMs = 0;
let lastPostAtMs = 0;
let processorBefore = process.cpuUsage();

/** Sockets to be answered, by the millisecond they are due at. All wait equally long, so this is a queue. */
const due: { atMs: number; sockets: Socket[] }[] = [];

function answerLater(socket: Socket): void {
  const atMs = Math.ceil(performance.now() + latencyMs);
  const last = due.at(-1);
  if (last?.atMs === atMs) last.sockets.push(socket);
  else if (due.push({ atMs, sockets: [socket] }) === 1) setTimeout(answerDue, latencyMs);
}

function answerDue(): void {
  const nowMs = performance.now();
  for (let head = due[0]; head; head = due[0]) {
    if (head.atMs > nowMs) {
      setTimeout(answerDue, head.atMs - nowMs);
      return;
    }
    for (const socket of head.sockets) socket.write(answer);
    due.shift();
  }
}

function takePost(socket: Socket): void {
  lastPostAtMs = Date.now();
  if (posts++ === 0) {
    firstPostAtMs = lastPostAtMs;
    processorBefore = process.cpuUsage();
  }
  if (answersLeft <= 0) held.push(socket);
  else {
    answersLeft--;
    if (latencyMs > 0) answerLater(socket);
    else socket.write(answer);
  }
}

function serve(socket: Socket): void {
  let rest: Buffer | undefined;
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    let bytes: Buffer | undefined = rest ? Buffer.concat([rest, chunk]) : chunk;
    while (bytes) {
      const headEnd: number = bytes.indexOf(HEADER_END);
      if (headEnd < 0) break;
      const head: string = bytes.toString("latin1", 0, headEnd);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const end: number = headEnd + HEADER_END.length + length;
      if (bytes.length < end) break;
      if (bytes[0] === GET) socket.write(modelList);
      else takePost(socket);
      bytes = bytes.length > end ? bytes.subarray(end) : undefined;
    }
    rest = bytes;
  });
}

function stats(): BackendStats {
  const { user, system } = process.cpuUsage(processorBefore);
  return { posts, firstPostAtMs, lastPostAtMs, processorMs: (user + system) / 1000 };
}

process.on("message", ({ answerOnly, reset }: BackendOrder) => {
  if (reset) posts = 0;
  if (answerOnly !== undefined) {
    answersLeft = answerOnly ?? Number.POSITIVE_INFINITY;
    for (const socket of held.splice(0, answersLeft)) {
      answersLeft--;
      socket.write(answer);
    }
  }
  process.send?.(stats());
});
process.on("disconnect", () => process.exit(0));

const server = createServer(serve).listen({ port: 0, host: "127.0.0.1", backlog: 8192 }, () => {
  const { port } = server.address() as { port: number };
  console.log(`http://127.0.0.1:${port}/v1`);
});
