// Workers on a data directory: whoever locks it after their server has died waits until they are gone.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { lockDataDirectory } from "../../../src/storage/disk/data-directory-lock.ts";
import { workersAreGone } from "../../../src/storage/disk/worker-presence.ts";
import { startScript } from "./child-script.ts";

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-presence-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

const announce = new URL("announce-worker.ts", import.meta.url);

it("they are seen as long as one of them lives", async () => {
  const directory = await temporaryFolder();
  expect(await workersAreGone(directory, 0)).toBe(true);
  const workers = [1, 2].map(() => startScript(announce, [directory]));
  for (const worker of workers) expect(await worker.nextLine()).toBe("announced");
  expect(await workersAreGone(directory, 0)).toBe(false);
  await workers[0]!.kill();
  expect(await workersAreGone(directory, 20)).toBe(false);
  await workers[1]!.kill();
  expect(await workersAreGone(directory, 0)).toBe(true);
});

it("keep the lock from the next one until they are gone", async () => {
  const directory = await temporaryFolder();
  const worker = startScript(announce, [directory]);
  expect(await worker.nextLine()).toBe("announced");
  const locking = lockDataDirectory(directory);
  let isLocked = false;
  void locking.then(() => (isLocked = true));
  expect(await workersAreGone(directory, 50)).toBe(false);
  expect(isLocked).toBe(false);
  await worker.kill();
  const lock = await locking;
  await lock.release();
});
