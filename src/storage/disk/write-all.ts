// Writes buffers to a file completely, whatever the system takes at a time.

import type { FileHandle } from "node:fs/promises";

/** Buffers in one call to the system: the least that POSIX systems in use accept (IOV_MAX). */
const BUFFERS_AT_ONCE = 1_024;

/** Appends `parts` in order at the handle's position. After an error some of them may be written. */
export async function writeAll(
  handle: Pick<FileHandle, "writev">,
  parts: readonly Uint8Array[],
): Promise<void> {
  for (let first = 0; first < parts.length; first += BUFFERS_AT_ONCE) {
    let pending = parts.slice(first, first + BUFFERS_AT_ONCE);
    while (pending.length > 0) {
      const { bytesWritten } = await handle.writev(pending);
      pending = withoutFirst(pending, bytesWritten);
    }
  }
}

function withoutFirst(parts: Uint8Array[], byteCount: number): Uint8Array[] {
  let left = byteCount;
  let index = 0;
  while (index < parts.length && left >= parts[index]!.length) {
    left -= parts[index]!.length;
    index += 1;
  }
  const rest = parts.slice(index);
  if (left > 0) rest[0] = rest[0]!.subarray(left);
  return rest;
}
