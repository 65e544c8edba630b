// The journal as it is written, and read again: whole, torn, damaged.
import { readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openWorkplace, type Workplace } from "../../test/support/workplace.ts";
import type { BlobLog, BlobStore } from "../core/blob-store.ts";
import { ConflictError, NotFoundError } from "../core/store.ts";
import { noUsage } from "../core/usage.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import {
  encodeJournalHeader,
  JOURNAL_HEADER_BYTES,
  type JournalRecord,
  MAX_PAYLOAD_BYTES,
  RECORD_HEADER_BYTES,
} from "./journal-record.ts";
import { JournalCorruptError, readJournal } from "./journal-recovery.ts";
import { Journal } from "./journal.ts";

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

const file = () => place.path("data/blobs/journal");
const usage = {
  inputTokens: 1,
  outputTokens: 2,
  totalTokens: 2 ** 32 - 1,
  cachedTokens: 4,
  reasoningTokens: 5,
};

function open(options: { store?: BlobStore; onFailure?: (error: unknown) => void } = {}): Journal {
  return new Journal({
    blobs: options.store ?? blobs,
    key: "journal",
    beginCommit: () => () => {},
    onFailure:
      options.onFailure ??
      ((error) => {
        throw error;
      }),
  });
}

const lineOf = (lineNumber: number) => `{"line": ${lineNumber}}\n`;
const payloadOf = (lineNumber: number) => [Buffer.from(lineOf(lineNumber))];

/** Writes the lines in one flush. */
async function flush(journal: Journal, lineNumbers: readonly number[]): Promise<void> {
  await Promise.all(
    lineNumbers.map(
      (lineNumber) =>
        new Promise<void>((resolve) => {
          journal.append(lineNumber, "output", { usage }, payloadOf(lineNumber), resolve);
        }),
    ),
  );
}

async function written(...flushes: number[][]): Promise<Buffer> {
  const journal = open();
  for (const lines of flushes) await flush(journal, lines);
  await journal.close();
  return readFileSync(file());
}

async function read(limitBytes: number | null = null) {
  const records: JournalRecord[] = [];
  const accepted = await readJournal(blobs, "journal", limitBytes, (record) =>
    records.push(record),
  );
  return { accepted, records, lines: records.map(({ lineNumber }) => lineNumber) };
}

const sizeOf = (lines: readonly number[]) =>
  lines.reduce((sum, line) => sum + RECORD_HEADER_BYTES + lineOf(line).length, 0);

describe("a whole journal", () => {
  test("has every record as it was given", async () => {
    const journal = open();
    const payload = ["answers/1"];
    const durable: string[] = [];
    journal.append(1, "output", { usage }, payloadOf(1), () => durable.push("output"));
    journal.append(2, "error", { usage: null }, payloadOf(2), () => durable.push("error"));
    journal.append(3, "output-blob", { extra: 2 ** 32 - 1, usage }, payload, () =>
      durable.push("blob"),
    );
    journal.append(4, "error-blob", { extra: 7 }, payload, () => durable.push("blob"));
    journal.append(2 ** 32 - 1, "suspect", { extra: 2 }, [], () => durable.push("suspect"));
    expect(durable).toEqual([]);
    expect(journal.pendingBytes).toBeGreaterThan(0);
    const size = await journal.close();
    expect(durable).toEqual(["output", "error", "blob", "blob", "suspect"]);
    expect([journal.pendingBytes, journal.durableBytes]).toEqual([0, size]);
    const { accepted, records } = await read();
    expect(accepted).toBe(size);
    const bytes = readFileSync(file());
    expect(bytes.length).toBe(size);
    const seen = records.map(({ payloadStart, payloadLength, ...rest }) => ({
      ...rest,
      payload: bytes.toString("utf8", payloadStart, payloadStart + payloadLength),
    }));
    expect(seen).toEqual([
      { lineNumber: 1, kind: "output", extra: 0, usage, payload: '{"line": 1}\n' },
      { lineNumber: 2, kind: "error", extra: 0, usage: noUsage(), payload: '{"line": 2}\n' },
      { lineNumber: 3, kind: "output-blob", extra: 2 ** 32 - 1, usage, payload: "answers/1" },
      { lineNumber: 4, kind: "error-blob", extra: 7, usage: noUsage(), payload: "answers/1" },
      { lineNumber: 2 ** 32 - 1, kind: "suspect", extra: 2, usage: noUsage(), payload: "" },
    ]);
  });

  test("of many flushes and large records is read in pieces", async () => {
    const journal = open();
    const lines = Array.from({ length: 60 }, (_, n) => n + 1);
    for (const line of lines) {
      const size = line % 20 === 0 ? MAX_PAYLOAD_BYTES : line * 1_000;
      await new Promise<void>((resolve) => {
        journal.append(line, "output", {}, [Buffer.alloc(size, line)], resolve);
      });
    }
    const size = await journal.close();
    expect(await read()).toMatchObject({ accepted: size, lines });
  });

  test("does not exist before there is a record, and then reads as nothing", async () => {
    expect(await open().close()).toBe(0);
    expect(await read()).toMatchObject({ accepted: 0, lines: [] });
  });

  test("what arrives while a flush is under way shares the next one", async () => {
    const appends: number[] = [];
    const store = withLog((log) => ({
      append: async (parts) => {
        appends.push(parts.reduce((sum, part) => sum + part.length, 0));
        await log.append(parts);
      },
    }));
    const journal = open({ store });
    await new Promise<void>((resolve) => {
      journal.append(1, "output", {}, payloadOf(1), () => {
        for (const line of [2, 3, 4]) journal.append(line, "output", {}, payloadOf(line), resolve);
      });
    });
    await journal.close();
    expect(appends).toEqual([JOURNAL_HEADER_BYTES, sizeOf([1]), sizeOf([2, 3, 4])]);
    expect(await read()).toMatchObject({ lines: [1, 2, 3, 4] });
  });

  test("the format stays as it is written down", async () => {
    const bytes = await written([1]);
    const parts = {
      file: Buffer.from("OFPKJRNL").toString("hex") + "0200000000000000",
      magic: "1e4f5052",
      length: "0c000000",
      crc: bytes.toString("hex", 24, 28),
      line: "01000000",
      kind: "00000000",
      extra: "00000000",
      flushStart: "0000000000003040",
      usage: "0100000002000000ffffffff040000000500000000000000",
      payload: Buffer.from('{"line": 1}\n').toString("hex"),
    };
    expect(bytes.toString("hex")).toBe(Object.values(parts).join(""));
    expect(parts.crc).toBe("0b153bfa");
  });

  test("of the format before, which had no jobs, is read as it was", async () => {
    const bytes = await written([1, 2]);
    bytes[8] = 1;
    writeFileSync(file(), bytes);
    expect(await read()).toMatchObject({ accepted: bytes.length, lines: [1, 2] });
  });

  test("is read with the payloads, which are the caller's only for the moment", async () => {
    await written([1, 2]);
    const payloads: string[] = [];
    await readJournal(blobs, "journal", null, (_record, payload) =>
      payloads.push(Buffer.from(payload).toString()),
    );
    expect(payloads).toEqual([1, 2].map(lineOf));
  });
});

describe("a torn journal", () => {
  test("cut at any byte of its last flush keeps all that was durable before, and the whole records of it", async () => {
    const bytes = await written([1, 2], [3], [4, 5]);
    const before = JOURNAL_HEADER_BYTES + sizeOf([1, 2, 3]);
    for (let end = before; end < bytes.length; end++) {
      writeFileSync(file(), bytes.subarray(0, end));
      const hasFour = end >= before + sizeOf([4]);
      expect(await read()).toMatchObject({
        accepted: hasFour ? before + sizeOf([4]) : before,
        lines: hasFour ? [1, 2, 3, 4] : [1, 2, 3],
      });
    }
  });

  test("cut in its header is empty", async () => {
    for (let end = 0; end <= JOURNAL_HEADER_BYTES; end++) {
      writeFileSync(file(), encodeJournalHeader().subarray(0, end));
      expect((await read()).lines).toEqual([]);
    }
  });

  test("with any byte of the first record of its last flush changed keeps what was before, not what follows", async () => {
    const bytes = await written([1, 2], [3, 4, 5]);
    const before = JOURNAL_HEADER_BYTES + sizeOf([1, 2]);
    for (let at = before; at < before + sizeOf([3]); at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x40;
      writeFileSync(file(), changed);
      expect(await read()).toMatchObject({ accepted: before, lines: [1, 2] });
    }
  });

  test.each([
    ["zeros", (size: number) => Buffer.alloc(size)],
    [
      "the beginnings of records",
      (size: number) => Buffer.alloc(size, Buffer.from("1e4f5052", "hex")),
    ],
    [
      "a record that claims to be huge",
      (size: number) => Buffer.alloc(size, Buffer.from("1e4f5052ffffff7f", "hex")),
    ],
  ])("with %s behind its records keeps the records", async (_what, tail) => {
    const bytes = await written([1, 2]);
    for (const size of [3, 100, 3_000_000]) {
      writeFileSync(file(), Buffer.concat([bytes, tail(size)]));
      expect(await read()).toMatchObject({ accepted: bytes.length, lines: [1, 2] });
    }
  });
});

describe("a damaged journal", () => {
  test("any byte of an earlier flush changed is corruption", async () => {
    const bytes = await written([1, 2], [3]);
    const end = JOURNAL_HEADER_BYTES + sizeOf([1, 2]);
    for (let at = JOURNAL_HEADER_BYTES; at < end; at++) {
      for (const bit of [0x01, 0x80]) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] as number) ^ bit;
        writeFileSync(file(), changed);
        await expect(read(), `byte ${at}`).rejects.toThrow(JournalCorruptError);
      }
    }
  });

  test("its header changed is corruption, or a format this version does not know", async () => {
    const bytes = await written([1]);
    for (let at = 0; at < 12; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 0x01;
      writeFileSync(file(), changed);
      await expect(read()).rejects.toThrow(at < 8 ? /is damaged/ : /journal of format \d+/);
    }
  });

  test("the evidence is found behind megabytes of what was lost", async () => {
    const journal = open();
    for (const line of [1, 2, 3]) {
      await new Promise<void>((resolve) => {
        journal.append(line, "output", {}, [Buffer.alloc(MAX_PAYLOAD_BYTES, line)], resolve);
      });
    }
    await journal.close();
    const bytes = readFileSync(file());
    bytes.fill(0, JOURNAL_HEADER_BYTES, bytes.length - MAX_PAYLOAD_BYTES - RECORD_HEADER_BYTES);
    writeFileSync(file(), bytes);
    await expect(read()).rejects.toThrow(
      `Journal journal is damaged: the record at byte ${JOURNAL_HEADER_BYTES} is broken`,
    );
  });
});

describe("a sealed journal", () => {
  test("is read up to its seal and no further", async () => {
    await written([1, 2], [3, 4]);
    const sealed = JOURNAL_HEADER_BYTES + sizeOf([1, 2, 3]);
    expect(await read(sealed)).toMatchObject({ accepted: sealed, lines: [1, 2, 3] });
    expect(await read(0)).toMatchObject({ accepted: 0, lines: [] });
  });

  test("what stands behind the seal is nobody's, however broken", async () => {
    const bytes = await written([1, 2], [3, 4]);
    const sealed = JOURNAL_HEADER_BYTES + sizeOf([1, 2]);
    writeFileSync(file(), Buffer.concat([bytes.subarray(0, sealed), Buffer.alloc(500, 7)]));
    expect(await read(sealed)).toMatchObject({ accepted: sealed, lines: [1, 2] });
  });

  test("that has lost bytes is damaged", async () => {
    const bytes = await written([1, 2], [3]);
    writeFileSync(file(), bytes.subarray(0, bytes.length - 1));
    await expect(read(bytes.length)).rejects.toThrow(JournalCorruptError);
    writeFileSync(file(), bytes.subarray(0, 5));
    await expect(read(bytes.length)).rejects.toThrow(JournalCorruptError);
  });

  test("whose seal is not between two records is damaged", async () => {
    const bytes = await written([1, 2]);
    await expect(read(bytes.length - 1)).rejects.toThrow(JournalCorruptError);
  });

  test("that is gone is an error; one that holds nothing need not exist", async () => {
    await expect(read(100)).rejects.toThrow(NotFoundError);
    expect(await read(0)).toMatchObject({ accepted: 0, lines: [] });
  });
});

/** The real store, with logs that do something else in places. */
function withLog(change: (log: BlobLog) => Partial<BlobLog>): BlobStore {
  const createLog = async (key: string): Promise<BlobLog> => {
    const log = await blobs.createLog(key);
    const changes = change(log);
    return {
      get sizeBytes() {
        return log.sizeBytes;
      },
      appendEveryMs: log.appendEveryMs,
      append: changes.append ?? ((parts) => log.append(parts)),
      close: () => log.close(),
    };
  };
  return new Proxy(blobs, {
    get: (target, name) =>
      name === "createLog" ? createLog : (Reflect.get(target, name) as () => unknown).bind(target),
  });
}

describe("a journal that fails", () => {
  test.each([1, 2, 3])(
    "at append %i: says so once, and acknowledges nothing from then on",
    async (failing) => {
      const full = new Error("no space left on device");
      let appends = 0;
      const store = withLog((log) => ({
        append: async (parts) => {
          if (++appends >= failing) throw full;
          await log.append(parts);
        },
      }));
      const failures: unknown[] = [];
      const durable: number[] = [];
      const failed = Promise.withResolvers<void>();
      const journal = open({
        store,
        onFailure: (error) => {
          failures.push(error);
          failed.resolve();
        },
      });
      // Each line is written when the one before it is durable.
      const append = (line: number) => {
        journal.append(line, "output", {}, payloadOf(line), () => {
          durable.push(line);
          append(line + 1);
        });
      };
      append(1);
      await failed.promise;
      journal.append(99, "output", {}, payloadOf(99), () => durable.push(99));
      expect(journal.pendingBytes).toBe(0);
      const size = await journal.close();
      expect(failures).toEqual([full]);
      expect(durable).toEqual([1, 2].slice(0, Math.max(0, failing - 2)));
      expect(await read()).toMatchObject({ accepted: size, lines: durable });
    },
  );

  test("because its key is taken: the other's records are left alone", async () => {
    await written([1]);
    const onFailure = vi.fn<(error: unknown) => void>();
    const journal = open({ onFailure });
    const onDurable = vi.fn<() => void>();
    journal.append(2, "output", {}, payloadOf(2), onDurable);
    expect(await journal.close()).toBe(0);
    expect(onFailure.mock.calls).toEqual([[expect.any(ConflictError)]]);
    expect(onDurable).not.toHaveBeenCalled();
    expect(await read()).toMatchObject({ lines: [1] });
  });
});
