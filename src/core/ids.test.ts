import { expect, test } from "vitest";
import { newBatchId, newFileId, newHttpRequestId, newNodeId, ResultIds } from "./ids.ts";

const now = Date.UTC(2026, 10, 22, 12, 0, 0, 999);
const nowHex = Math.floor(now / 1000).toString(16);

test("a batch's id is 32 hex digits, of which the first 8 are the time in seconds", () => {
  expect(newBatchId(now)).toMatch(new RegExp(`^batch_${nowHex}[0-9a-f]{24}$`));
  expect(newBatchId(0)).toMatch(/^batch_00000000[0-9a-f]{24}$/);
  expect(newBatchId(now)).not.toBe(newBatchId(now));
});

test("a file's id is 22 base62 characters, each of them as likely as the others", () => {
  const seen = new Map<string, number>();
  const ids = Array.from({ length: 2_000 }, () => newFileId());
  for (const id of ids) {
    expect(id).toMatch(/^file-[A-Za-z0-9]{22}$/);
    for (const character of id.slice(5)) seen.set(character, (seen.get(character) ?? 0) + 1);
  }
  expect(new Set(ids).size).toBe(ids.length);
  expect(seen.size).toBe(62);
  // 710 of each are expected, give or take 27; a modulo of the byte would favour some by a quarter.
  for (const count of seen.values()) expect(Math.abs(count - 710)).toBeLessThan(27 * 6);
});

test("the ids of HTTP requests and nodes", () => {
  expect(newHttpRequestId()).toMatch(/^req_[0-9a-f]{32}$/);
  expect(newNodeId()).toMatch(/^node_[0-9a-f]{24}$/);
  expect(newNodeId()).not.toBe(newNodeId());
});

test("the ids of result lines have their shapes and never come twice, not even in another process", () => {
  const sources = [new ResultIds(), new ResultIds()];
  const ids = sources.flatMap((source) =>
    Array.from({ length: 500 }, () => [source.lineId(now), source.requestId(now)]).flat(),
  );
  for (const id of ids) expect(id).toMatch(new RegExp(`^(?:batch_req_)?${nowHex}[0-9a-f]{24}$`));
  expect(new Set(ids.map((id) => id.replace("batch_req_", ""))).size).toBe(ids.length);
});
