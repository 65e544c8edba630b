// Reference: the same requests in a bare undici dispatch loop, one Client per slot, answers dropped.
// Arguments: base URL, JSONL file, requests in flight. Prints the milliseconds the calls took.

import { readFileSync } from "node:fs";
import { Client } from "undici";

const [baseUrl = "", file = "", slots = "64"] = process.argv.slice(2);
const { origin, pathname } = new URL(baseUrl);
const bodies = readFileSync(file, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => Buffer.from(JSON.stringify((JSON.parse(line) as { body: unknown }).body)));

let next = 0;
let answered = 0;
const startedMs = performance.now();

function send(client: Client): void {
  const body = bodies[next++];
  if (!body) return;
  client.dispatch(
    {
      method: "POST",
      path: `${pathname}/chat/completions`,
      headers: { "content-type": "application/json" },
      body,
    },
    {
      onRequestStart() {},
      onResponseStart() {},
      onResponseData() {},
      onResponseEnd() {
        if (++answered === bodies.length) {
          console.log(performance.now() - startedMs);
          process.exit(0);
        }
        send(client);
      },
      onResponseError(_controller, error) {
        throw error;
      },
    },
  );
}

for (let slot = 0; slot < Number(slots); slot++) {
  send(new Client(origin, { pipelining: 1, headersTimeout: 0, bodyTimeout: 0 }));
}
