// Keeps a data directory for one process and its workers. The lock is one of SQLite's on a file in the
// directory: the kernel releases it when the process dies, however it dies.

import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createFolder } from "./durable-folders.ts";
import { workersAreGone } from "./worker-presence.ts";

const LOCK_FILE = "offpeak.lock";
/** Beside the lock, because a locked file cannot be read. It only makes the message better. */
const HOLDER_FILE = "offpeak.pid";
const SQLITE_BUSY = 5;
/** Workers end within milliseconds of the process that started them. */
const WORKERS_LIMIT_MS = 10_000;

export interface DataDirectoryLock {
  release(): Promise<void>;
}

/** Another process holds the data directory. */
class DataDirectoryLockedError extends Error {
  override readonly name = "DataDirectoryLockedError";
}

/** Referenced from here, because a collected lock would be a released one. */
const held = new Set<DatabaseSync>();

/**
 * Locks `directory` for this process, creating it (mode 0700) if it is missing. Throws
 * DataDirectoryLockedError at once when it is locked already, by this process or another. Waits for the
 * end of workers that outlive a former holder, so that whoever has the lock is alone.
 */
export async function lockDataDirectory(directory: string): Promise<DataDirectoryLock> {
  const holderPath = join(directory, HOLDER_FILE);
  let database: DatabaseSync;
  try {
    await createFolder(directory);
    database = new DatabaseSync(join(directory, LOCK_FILE), { timeout: 0 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `Cannot use ${directory} as the data directory: ${reason}. ` +
        `It must be a folder that this user can write, or a path where one can be created.`,
      { cause: error },
    );
  }
  try {
    database.exec("begin exclusive");
    if (!(await workersAreGone(directory, WORKERS_LIMIT_MS))) {
      throw new DataDirectoryLockedError(
        `Workers of an Offpeak process that has ended still use the data directory ${directory}. ` +
          "End the processes named worker-main, or choose another directory with --data-dir.",
      );
    }
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
    throw new DataDirectoryLockedError(
      `The data directory ${directory} is in use by another Offpeak process` +
        `${await holder(holderPath)}. Stop that process, or choose another directory with --data-dir.`,
      { cause: error },
    );
  }
  held.add(database);
  // A full disk must not keep the server from starting.
  await writeFile(holderPath, `${process.pid}\n`).catch(() => undefined);
  return {
    async release() {
      if (!held.delete(database)) return;
      await rm(holderPath, { force: true });
      database.close();
    },
  };
}

async function holder(holderPath: string): Promise<string> {
  const pid = (await readFile(holderPath, "utf8").catch(() => "")).trim();
  return pid === "" ? "" : ` (pid ${pid})`;
}
