import fc from "fast-check";
import { expect, test } from "vitest";
import { openWorkplace } from "../../test/support/workplace.ts";
import { openDiskBlobStore } from "../storage/disk/disk-blob-store.ts";
import {
  decodePlanHeader,
  encodePlanEntry,
  encodePlanHeader,
  PLAN_ENTRY_BYTES,
  PLAN_HEADER_BYTES,
  type PlanEntry,
  PlanSlice,
  readPlanCount,
  readPlanSlice,
} from "./plan.ts";

const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const entries = fc.record<PlanEntry>({
  lineNumber: u32,
  lineStart: fc.maxSafeNat(),
  lineLength: u32,
  bodyStart: u32,
  bodyLength: u32,
  customIdStart: u32,
  customIdLength: u16,
});

function encoded(all: readonly PlanEntry[]): Uint8Array {
  const bytes = new Uint8Array(all.length * PLAN_ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  all.forEach((entry, at) => encodePlanEntry(view, at * PLAN_ENTRY_BYTES, entry));
  return bytes;
}

test("entries come back as they were, wherever they stand", () => {
  fc.assert(
    fc.property(fc.array(entries), fc.nat(20), (all, offset) => {
      const around = new Uint8Array(all.length * PLAN_ENTRY_BYTES + offset);
      around.set(encoded(all), offset);
      const slice = new PlanSlice(around.subarray(offset));
      expect(slice.count).toBe(all.length);
      expect(all.map((_, at) => slice.entry(at))).toEqual(all);
      expect(all.map((_, at) => slice.lineNumber(at))).toEqual(
        all.map((entry) => entry.lineNumber),
      );
      expect(slice.firstDamaged()).toBe(-1);
    }),
  );
});

test("the format stays as it is written down", () => {
  expect(Buffer.from(encodePlanHeader(258)).toString("hex")).toBe(
    `${Buffer.from("OFPKPLAN").toString("hex")}0100000002010000`,
  );
  const entry: PlanEntry = {
    lineNumber: 1,
    lineStart: 2,
    lineLength: 3,
    bodyStart: 4,
    bodyLength: 5,
    customIdStart: 6,
    customIdLength: 7,
  };
  expect(Buffer.from(encoded([entry])).toString("hex")).toBe(
    "01000000" +
      "0000000000000040" +
      "03000000" +
      "04000000" +
      "05000000" +
      "06000000" +
      "0700" +
      "72dd",
  );
});

test("a byte that has changed is found", () => {
  fc.assert(
    fc.property(fc.array(entries, { minLength: 1 }), fc.nat(), fc.nat(7), (all, where, bit) => {
      const bytes = encoded(all);
      const at = where % bytes.length;
      bytes[at]! ^= 1 << bit;
      expect(new PlanSlice(bytes).firstDamaged()).toBe(Math.floor(at / PLAN_ENTRY_BYTES));
    }),
  );
});

test("a header says how many entries there are", () => {
  expect(decodePlanHeader(encodePlanHeader(50_000))).toBe(50_000);
  const around = new Uint8Array(PLAN_HEADER_BYTES + 3);
  around.set(encodePlanHeader(7), 3);
  expect(decodePlanHeader(around.subarray(3))).toBe(7);
});

test("what is no plan, or one of another format, is refused", () => {
  const header = encodePlanHeader(1);
  expect(() => decodePlanHeader(header.subarray(0, 15))).toThrow("not a plan");
  expect(() => decodePlanHeader(new Uint8Array(PLAN_HEADER_BYTES))).toThrow("not a plan");
  header[8] = 9;
  expect(() => decodePlanHeader(header)).toThrow("plan of format 9; this Offpeak reads format 1");
});

test("a part of a stored plan is read, and one that ends early is refused", async () => {
  using place = openWorkplace();
  const blobs = await openDiskBlobStore({ directory: place.path("data") });
  const all = fc.sample(entries, 10);
  const writer = await blobs.create("plan");
  await writer.write(encodePlanHeader(all.length));
  await writer.write(encoded(all));
  await writer.commit();
  const plan = await blobs.open("plan");
  expect(await readPlanCount(plan)).toBe(10);
  const slice = await readPlanSlice(plan, 3, 4);
  expect([0, 1, 2, 3].map((at) => slice.entry(at))).toEqual(all.slice(3, 7));
  await expect(readPlanSlice(plan, 8, 3)).rejects.toThrow("plan ends early: no entries 8 to 10");
  await plan.close();
  await blobs.close();
});
