import { expect, test } from "vitest";
import { noUsage } from "../core/usage.ts";
import { decodeRecord, RECORD_HEADER_BYTES } from "./journal-record.ts";
import { RecordBuffer } from "./record-buffer.ts";

const usage = { ...noUsage(), inputTokens: 7 };
const about = (lineNumber: number, withUsage = true) =>
  ({
    lineNumber,
    kind: "output",
    extra: lineNumber,
    usage: withUsage ? usage : null,
    flushStart: 16,
  }) as const;

/** The records of what was taken, decoded: their line numbers and payloads. */
function recordsOf(blocks: ReturnType<RecordBuffer["take"]>) {
  const bytes = Buffer.concat(blocks.map((block) => block.bytes.subarray(0, block.used)));
  const records: { line: number; input: number; payload: string }[] = [];
  for (let at = 0; at < bytes.length;) {
    const decoded = decodeRecord(bytes, at, 0);
    if (decoded.kind !== "record") throw new Error(`no record at ${at}`);
    const { lineNumber, usage: used, payloadStart, payloadLength } = decoded.record;
    const payload = bytes.toString("latin1", payloadStart, payloadStart + payloadLength);
    records.push({ line: lineNumber, input: used.inputTokens, payload });
    at = decoded.end;
  }
  return records;
}

test("records of all sizes come out in order, over as many blocks as they need", () => {
  const buffer = new RecordBuffer();
  const sizes = [0, 1, 1_000, 100_000, 200_000, 5, 1_048_576, 127_000, 3];
  sizes.forEach((size, line) => buffer.append(about(line), [Buffer.alloc(size, "x")]));
  const total = sizes.reduce((sum, size) => sum + size + RECORD_HEADER_BYTES, 0);
  expect(buffer.sizeBytes).toBe(total);
  const records = recordsOf(buffer.take());
  expect(records.map(({ line, payload }) => [line, payload.length])).toEqual(
    sizes.map((size, line) => [line, size]),
  );
  expect(buffer.sizeBytes).toBe(0);
  expect(buffer.take()).toEqual([]);
});

test("memory that is used again shows nothing of what it held before", () => {
  const buffer = new RecordBuffer();
  for (let round = 0; round < 50; round++) {
    const hasUsage = round % 2 === 0;
    buffer.append(about(round, hasUsage), ["a", Buffer.from("b"), `${round}\n`]);
    const blocks = buffer.take();
    const input = hasUsage ? 7 : 0;
    expect(recordsOf(blocks)).toEqual([{ line: round, input, payload: `ab${round}\n` }]);
    buffer.giveBack(blocks);
  }
});

test("records go on gathering while others are being written", () => {
  const buffer = new RecordBuffer();
  buffer.append(about(1), ["one"]);
  const first = buffer.take();
  buffer.append(about(2), ["two"]);
  expect(recordsOf(first).map(({ payload }) => payload)).toEqual(["one"]);
  expect(recordsOf(buffer.take()).map(({ payload }) => payload)).toEqual(["two"]);
});
