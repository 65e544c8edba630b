import { expect, test } from "vitest";
import type { MigrationProgress } from "../core/migration-progress.ts";
import { ProgressDisplay, size } from "./progress-display.ts";

const start: MigrationProgress = {
  step: "copying rows",
  table: "batches",
  rows: 1_250,
  rowsTotal: 20_000,
  blobs: 0,
  blobsTotal: 0,
  bytes: 0,
  bytesTotal: 0,
};

function stage(terminal: { isTTY?: boolean; columns?: number }) {
  let nowMs = 0;
  const written: string[] = [];
  const output = { ...terminal, write: (text: string) => written.push(text) };
  const display = new ProgressDisplay(output, () => nowMs);
  display.start();
  const draw = (progress: Partial<MigrationProgress>, atMs: number) => {
    nowMs = atMs;
    display.show({ ...start, ...progress });
    display.draw();
    return written.splice(0);
  };
  return { display, draw, written };
}

test("a line each, where it is no terminal, and none that says nothing new", () => {
  const { display, draw, written } = stage({});
  expect(draw({}, 1_000)).toEqual(["copying rows, batches: 1,250 of 20,000 rows\n"]);
  expect(draw({}, 2_000)).toEqual([]);
  const blobs = { step: "copying blobs", table: null, blobsTotal: 2_000, bytesTotal: 5e9 } as const;
  expect(draw({ ...blobs, blobs: 12, bytes: 30_000_000 }, 3_000)).toEqual([
    "copying blobs: 12 of 2,000, 30.0 MB of 5.0 GB, 10.0 MB/s\n",
  ]);
  // Of the last seconds only.
  expect(draw({ ...blobs, blobs: 13, bytes: 30_000_000 }, 9_000)).toEqual([
    "copying blobs: 13 of 2,000, 30.0 MB of 5.0 GB, 0 bytes/s\n",
  ]);
  display.stop();
  expect(written).toEqual([]);
});

test("one line on a terminal, as long as fits, of which nothing stays", () => {
  const { display, draw, written } = stage({ isTTY: true, columns: 21 });
  expect(draw({}, 250)).toEqual(["\r\u001B[Kcopying rows, batche"]);
  expect(draw({ table: null }, 500)).toEqual(["\r\u001B[Kcopying rows: 1,250 "]);
  display.stop();
  display.stop();
  expect(written).toEqual(["\r\u001B[K"]);
});

test.each([
  [0, "0 bytes"],
  [999, "999 bytes"],
  [1_000, "1.0 kB"],
  [3_249_000_000, "3.2 GB"],
  [7e15, "7000.0 TB"],
])("%d is %s", (bytes, shown) => {
  expect(size(bytes)).toBe(shown);
});
