// Reference: one bare pass over a JSONL file: read, cut at newlines, JSON.parse. Arguments: the file, passes.
// Prints the milliseconds each pass took, a line each.

import { createReadStream } from "node:fs";

const [file = "", passes = "1"] = process.argv.slice(2);

async function pass(): Promise<number> {
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
  return lines;
}

for (let count = 0; count < Number(passes); count++) {
  const startedMs = performance.now();
  if ((await pass()) === 0) throw new Error(`${file} has no lines`);
  console.log(performance.now() - startedMs);
}
