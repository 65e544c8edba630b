// A backend that is never the bottleneck: answers every POST on a raw socket with the same chat
// completion, as soon as the body is there. Prints its base URL; ends with its parent's pipe.

import { createServer, type Socket } from "node:net";

const body = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "bench",
  choices: [
    { index: 0, message: { role: "assistant", content: "x".repeat(400) }, finish_reason: "stop" },
  ],
  usage: { prompt_tokens: 200, completion_tokens: 100, total_tokens: 300 },
});
const models = JSON.stringify({ object: "list", data: [{ id: "bench", object: "model" }] });

function response(text: string): Buffer {
  return Buffer.from(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

const answer = response(body);
const modelList = response(models);
const HEADER_END = "\r\n\r\n";

function serve(socket: Socket): void {
  let held: Buffer = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    held = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
    for (;;) {
      const headerEnd = held.indexOf(HEADER_END);
      if (headerEnd < 0) return;
      const head = held.toString("latin1", 0, headerEnd);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const end = headerEnd + HEADER_END.length + length;
      if (held.length < end) return;
      held = held.subarray(end);
      socket.write(head.startsWith("GET") ? modelList : answer);
    }
  });
}

const server = createServer(serve).listen(0, "127.0.0.1", () => {
  const { port } = server.address() as { port: number };
  console.log(`http://127.0.0.1:${port}/v1`);
});
process.stdin.on("end", () => process.exit(0)).resume();
