import { expect, test } from "vitest";
import { SecretBox } from "./secret-box.ts";

const box = new SecretBox("one key");

test("what is sealed can be opened, and can't be read", () => {
  const sealed = box.seal("whsec_é");
  expect(sealed).not.toContain("whsec");
  expect(box.open(sealed)).toBe("whsec_é");
  expect(new SecretBox("one key").open(sealed)).toBe("whsec_é");
});

test("the same text never looks the same", () => {
  expect(box.seal("a")).not.toBe(box.seal("a"));
});

test.each([
  ["sealed under another key", new SecretBox("another key").seal("a")],
  ["changed", box.seal("abc").replace(/.{6}$/, "AAAAA=")],
  ["cut", box.seal("abc").slice(0, 20)],
  ["of another version", box.seal("abc").replace("v1", "v2")],
  ["empty", ""],
])("what is %s says what to do", (_name, sealed) => {
  expect(() => box.open(sealed)).toThrow("secret_key");
});
