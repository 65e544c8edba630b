// Reference: the same requests in a bare undici dispatch loop, one Client per slot, answers dropped.
// Arguments: base URL, JSONL file, requests in flight, passes. Prints one JSON line: of each pass the
// milliseconds its calls took, and the processor time.

import { readFileSync } from "node:fs";
import { Client } from "undici";

const [baseUrl = "", file = "", slots = "64", passes = "1"] = process.argv.slice(2);
const { origin, pathname } = new URL(baseUrl);
const bodies: Buffer[] = [];
const input = readFileSync(file);
for (let from = 0, at = input.indexOf(10); at >= 0; from = at + 1, at = input.indexOf(10, from)) {
  const { body } = JSON.parse(input.toString("utf8", from, at)) as { body: unknown };
  bodies.push(Buffer.from(JSON.stringify(body)));
}
const clients = Array.from(
  { length: Number(slots) },
  () => new Client(origin, { pipelining: 1, headersTimeout: 0, bodyTimeout: 0 }),
);

function sendAll(): Promise<void> {
  let next = 0;
  let answered = 0;
  return new Promise((resolve, reject) => {
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
            if (++answered === bodies.length) resolve();
            else send(client);
          },
          onResponseError(_controller, error) {
            reject(error);
          },
        },
      );
    }
    for (const client of clients) send(client);
  });
}

const figures = [];
for (let pass = 0; pass < Number(passes); pass++) {
  const startedMs = performance.now();
  const processorBefore = process.cpuUsage();
  await sendAll();
  const ms = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(processorBefore);
  figures.push({ ms, processorMs: (user + system) / 1000 });
}
console.log(JSON.stringify(figures));
process.exit(0);
