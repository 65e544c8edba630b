import { expect, test } from "vitest";
import { uploadStatus } from "./upload.ts";

test.each([
  ["pending", 999, "pending"],
  ["pending", 1_000, "expired"],
  ["completed", 2_000, "completed"],
  ["cancelled", 2_000, "cancelled"],
] as const)("a %s upload is at %i, having until 1000, %s", (status, now, shown) => {
  expect(uploadStatus({ status, expiresAt: 1_000 }, now)).toBe(shown);
});
