// The lock on the data directory: one holder, whatever becomes of it.

import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { lockDataDirectory } from "../../../src/storage/disk/data-directory-lock.ts";
import { startScript } from "./child-script.ts";

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-lock-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

it("is refused while another process holds it, and free as soon as that one is killed", async () => {
  const directory = join(await temporaryFolder(), "data");
  const holder = startScript(new URL("hold-data-directory.ts", import.meta.url), [directory]);
  expect(await holder.nextLine()).toBe("locked");
  const refused = lockDataDirectory(directory);
  await expect(refused).rejects.toMatchObject({ name: "DataDirectoryLockedError" });
  await expect(refused).rejects.toThrow(
    `The data directory ${directory} is in use by another Offpeak process (pid ${holder.pid}). ` +
      `Stop that process, or choose another directory with --data-dir.`,
  );
  await holder.kill();
  const lock = await lockDataDirectory(directory);
  await lock.release();
});

it("is refused to the process that holds it, until it is released", async () => {
  const directory = await temporaryFolder();
  const first = await lockDataDirectory(directory);
  await expect(lockDataDirectory(directory)).rejects.toThrow(`(pid ${process.pid})`);
  await first.release();
  const second = await lockDataDirectory(directory);
  await first.release();
  await expect(lockDataDirectory(directory)).rejects.toThrow(`(pid ${process.pid})`);
  await second.release();
});

it("goes to one of several that ask for it at the same time", async () => {
  const directory = join(await temporaryFolder(), "data");
  const outcomes = await Promise.allSettled(
    Array.from({ length: 5 }, () => lockDataDirectory(directory)),
  );
  const locks = outcomes.flatMap((outcome) =>
    outcome.status === "fulfilled" ? [outcome.value] : [],
  );
  expect(locks).toHaveLength(1);
  await locks[0]!.release();
});

it("creates the directory for this user alone", async () => {
  const directory = join(await temporaryFolder(), "not", "yet");
  const lock = await lockDataDirectory(directory);
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  await lock.release();
});

it("says why a path cannot be the data directory", async () => {
  const path = join(await temporaryFolder(), "a-file");
  await writeFile(path, "");
  await expect(lockDataDirectory(path)).rejects.toThrow(
    `Cannot use ${path} as the data directory: `,
  );
});

it.each(["/proc/self/offpeak", "/dev/null/offpeak"])(
  "is refused at once where no folder can be: %s",
  async (directory) => {
    await expect(lockDataDirectory(directory)).rejects.toThrow(
      `Cannot use ${directory} as the data directory: `,
    );
  },
);
