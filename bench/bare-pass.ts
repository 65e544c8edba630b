// Reference: one bare pass over a JSONL file: read, cut at newlines, JSON.parse. Argument: the file.
// Prints the milliseconds it took.

import { createReadStream } from "node:fs";

const [file = ""] = process.argv.slice(2);
const startedMs = performance.now();
let held: Buffer = Buffer.alloc(0);
let lines = 0;
for await (const chunk of createReadStream(file, { highWaterMark: 256 * 1024 })) {
  const bytes = held.length > 0 ? Buffer.concat([held, chunk as Buffer]) : (chunk as Buffer);
  let from = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
    if (typeof JSON.parse(bytes.toString("utf8", from, at)) === "object") lines++;
    from = at + 1;
  }
  held = bytes.subarray(from);
}
if (lines === 0) throw new Error(`${file} has no lines`);
console.log(performance.now() - startedMs);
