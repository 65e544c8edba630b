// Whether a worker of anybody still lives on a data directory. Each holds a shared lock of SQLite's on a
// file there, which the kernel releases when it dies: for the moments by which it may outlive a killed server.

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

const PRESENCE_FILE = "offpeak.workers";
const SQLITE_BUSY = 5;
const LOOK_AGAIN_MS = 5;

/** Referenced from here, because a collected lock would be a released one. */
let held: DatabaseSync | undefined;

/** Says, until this process ends, that it works on the directory. */
export function announceWorker(directory: string): void {
  held ??= new DatabaseSync(join(directory, PRESENCE_FILE), { timeout: 0 });
  // A transaction holds the lock only once it has read.
  held.exec("begin; select count(*) from sqlite_master");
}

/** Whether no worker is left on the directory within `limitMs`. The caller sees to it that none comes. */
export async function workersAreGone(directory: string, limitMs: number): Promise<boolean> {
  const database = new DatabaseSync(join(directory, PRESENCE_FILE), { timeout: 0 });
  try {
    for (let waitedMs = 0; ; waitedMs += LOOK_AGAIN_MS) {
      try {
        database.exec("begin exclusive");
        return true;
      } catch (error) {
        if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
        if (waitedMs >= limitMs) return false;
      }
      await sleep(LOOK_AGAIN_MS);
    }
  } finally {
    database.close();
  }
}
