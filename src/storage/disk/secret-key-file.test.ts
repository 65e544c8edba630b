import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { keepSecretKey, secretKeyOf } from "./secret-key-file.ts";

const KEY = "5e".repeat(32);

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-secret-key-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

test("a key that is kept is the directory's, for its owner alone", async () => {
  const folder = await temporaryFolder();
  expect(await keepSecretKey(folder, KEY)).toBe("kept");
  expect(await secretKeyOf(folder)).toBe(KEY);
  expect(await keepSecretKey(folder, KEY)).toBe("kept");
  expect((await stat(join(folder, "secret.key"))).mode & 0o777).toBe(0o600);
});

test("a directory that has another key keeps that", async () => {
  const folder = await temporaryFolder();
  const first = await secretKeyOf(folder);
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  expect(await keepSecretKey(folder, KEY)).toBe("other");
  expect(await secretKeyOf(folder)).toBe(first);
});

test("a key of another form is not kept", async () => {
  const folder = await temporaryFolder();
  expect(await keepSecretKey(folder, "any text of enough characters")).toBe("unfit");
  await expect(readFile(join(folder, "secret.key"))).rejects.toMatchObject({ code: "ENOENT" });
});
