// The key that encrypts the secrets in the database, in a file of the data directory that only its
// owner may read. Made at the first start, or when data is moved there.

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

/**
 * Keeps the key for the data directory, where it has none. Answers "kept" when the directory has this key now, "other"
 * when it has another one, which is left, and "unfit" when this one is not of the kind that the file holds.
 */
export async function keepSecretKey(
  dataDir: string,
  secretKey: string,
): Promise<"kept" | "other" | "unfit"> {
  const path = join(dataDir, NAME);
  const there = await readIfThere(path);
  if (there === undefined && !KEY.test(secretKey)) return "unfit";
  const key = there ?? (await createKey(dataDir, path, secretKey));
  return key === secretKey ? "kept" : "other";
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
async function createKey(dataDir: string, path: string, key = newKey()): Promise<string> {
  // Only a whole file gets the name.
  const unnamed = `${path}.${process.pid}`;
  const file = await open(unnamed, "w", 0o600);
  try {
    await file.writeFile(`${key}\n`);
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

function newKey(): string {
  return randomBytes(KEY_BYTES).toString("hex");
}
