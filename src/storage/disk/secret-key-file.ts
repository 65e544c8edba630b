// The key that encrypts the secrets in the database, in a file of the data directory that only its
// owner may read. Made at the first start.

import { randomBytes } from "node:crypto";
import { link, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "./durable-folders.ts";
import { isFileError } from "./file-error.ts";

const NAME = "secret.key";
const KEY_BYTES = 32;
const KEY = /^[0-9a-f]{64}$/;

/** The key of the existing data directory. Throws an Error that names the file. */
export async function secretKeyOf(dataDir: string): Promise<string> {
  const path = join(dataDir, NAME);
  const key = (await readIfThere(path)) ?? (await createKey(dataDir, path));
  if (KEY.test(key)) return key;
  throw new Error(
    `${path} does not hold a key of ${KEY_BYTES} bytes in hex. Restore it from a copy of the data directory; ` +
      "or delete it, and make all webhooks anew.",
  );
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    if (isFileError(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** The new key, or that of another process that was quicker. */
async function createKey(dataDir: string, path: string): Promise<string> {
  // Only a whole file gets the name.
  const unnamed = `${path}.${process.pid}`;
  const file = await open(unnamed, "w", 0o600);
  try {
    await file.writeFile(`${randomBytes(KEY_BYTES).toString("hex")}\n`);
    await file.sync();
    await link(unnamed, path);
    await syncFolder(dataDir);
  } catch (error) {
    if (!isFileError(error, "EEXIST")) throw error;
  } finally {
    await file.close();
    await rm(unnamed, { force: true });
  }
  return (await readFile(path, "utf8")).trim();
}
