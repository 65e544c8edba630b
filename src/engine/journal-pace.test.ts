// When a journal flushes where each flush is dear: as seldom as the log asks for, and at once when somebody waits.
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "../../test/support/workplace.ts";
import type { BlobStore } from "../core/blob-store.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import { JOURNAL_HEADER_BYTES, RECORD_HEADER_BYTES } from "./journal-record.ts";
import { readJournal } from "./journal-recovery.ts";
import { Journal } from "./journal.ts";

/** No test waits for so long. */
const HOUR_MS = 3_600_000;
const LINE_BYTES = 100;

let place: Workplace;
let blobs: BlobStore;

beforeEach(async () => {
  place = openWorkplace();
  blobs = await openDiskBlobStore({ directory: place.path("data") });
});

afterEach(async () => {
  await blobs.close();
  place[Symbol.dispose]();
});

/** The real store, with logs whose appends should be so far apart, and are told to `onAppend`. */
function withDearLogs(appendEveryMs: number, onAppend: (sizeBytes: number) => void): BlobStore {
  const createLog = async (key: string) => {
    const log = await blobs.createLog(key);
    return {
      appendEveryMs,
      get sizeBytes() {
        return log.sizeBytes;
      },
      append: (parts: readonly Uint8Array[]) => {
        onAppend(parts.reduce((sum, part) => sum + part.length, 0));
        return log.append(parts);
      },
      close: () => log.close(),
    };
  };
  return new Proxy(blobs, {
    get: (target, name) =>
      name === "createLog" ? createLog : (Reflect.get(target, name) as () => unknown).bind(target),
  });
}

/** A journal that has flushed line 1 just now. */
async function openDear(appendEveryMs: number) {
  const flushes: { sizeBytes: number; atMs: number }[] = [];
  const journal = new Journal({
    blobs: withDearLogs(appendEveryMs, (sizeBytes) =>
      flushes.push({ sizeBytes, atMs: performance.now() }),
    ),
    key: "journal",
    beginCommit: () => () => {},
    onFailure: (error) => {
      throw error;
    },
  });
  const append = (lineNumber: number, sizeBytes = LINE_BYTES) =>
    new Promise<void>((resolve) => {
      journal.append(lineNumber, "output", {}, [Buffer.alloc(sizeBytes)], resolve);
    });
  await append(1);
  return { journal, append, flushes, sizes: () => flushes.map(({ sizeBytes }) => sizeBytes) };
}

const sizeOf = (lines: number, lineBytes = LINE_BYTES) => lines * (RECORD_HEADER_BYTES + lineBytes);
const begun = [JOURNAL_HEADER_BYTES, sizeOf(1)];

test("what comes first is flushed at once, and what comes later no sooner than it should", async () => {
  const { journal, append, flushes, sizes } = await openDear(50);
  await Promise.all([append(2), append(3)]);
  await append(4);
  expect(sizes()).toEqual([...begun, sizeOf(2), sizeOf(1)]);
  const [, first, second, third] = flushes.map(({ atMs }) => atMs) as [number, ...number[]];
  // Timers have whole milliseconds.
  expect((second as number) - (first as number)).toBeGreaterThan(48);
  expect((third as number) - (second as number)).toBeGreaterThan(48);
  await journal.close();
  const lines: number[] = [];
  await readJournal(blobs, "journal", null, ({ lineNumber }) => lines.push(lineNumber));
  expect(lines).toEqual([1, 2, 3, 4]);
});

test("what comes is gathered until somebody waits for it", async () => {
  const { journal, append, sizes } = await openDear(HOUR_MS);
  // For nothing: there is nothing to wait for.
  journal.hurry();
  const durable = [append(2)];
  // By then the flush is being put off.
  await setImmediate();
  await setImmediate();
  durable.push(append(3));
  expect(sizes()).toEqual(begun);
  journal.hurry();
  await Promise.all(durable);
  expect(sizes()).toEqual([...begun, sizeOf(2)]);
  await journal.close();
});

test("somebody may wait for what comes while a flush is under way", async () => {
  const { journal, append, sizes } = await openDear(HOUR_MS);
  const second = append(2).then(() => {
    const third = append(3);
    journal.hurry();
    return third;
  });
  journal.hurry();
  await second;
  expect(sizes()).toEqual([...begun, sizeOf(1), sizeOf(1)]);
  await journal.close();
});

test("a megabyte is enough", async () => {
  const { journal, append, sizes } = await openDear(HOUR_MS);
  const quarterBytes = 300 * 1024;
  await Promise.all([2, 3, 4, 5].map((line) => append(line, quarterBytes)));
  expect(sizes()).toEqual([...begun, sizeOf(4, quarterBytes)]);
  await journal.close();
});

test("so is the end", async () => {
  const { journal, append, sizes } = await openDear(HOUR_MS);
  const durable = append(2);
  await setImmediate();
  await setImmediate();
  await journal.close();
  await durable;
  expect(sizes()).toEqual([...begun, sizeOf(1)]);
});
