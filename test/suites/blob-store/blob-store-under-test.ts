// What every case of the BlobStore's suite starts from.

import type { BlobReader, BlobStore } from "../../../src/core/blob-store.ts";

export interface BlobStoreUnderTest {
  store: BlobStore;
  /** Opens the store again as the next process would after this one died: nothing is closed before. */
  restart: () => Promise<BlobStore>;
}

/** Opens an empty BlobStore; what it left is removed when the test ends. */
export type OpenBlobStore = () => Promise<BlobStoreUnderTest>;

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Bytes that look random and are the same every time. */
export function patternBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

export async function put(
  store: BlobStore,
  key: string,
  ...parts: (string | Uint8Array)[]
): Promise<void> {
  const writer = await store.create(key);
  for (const part of parts) await writer.write(typeof part === "string" ? bytesOf(part) : part);
  await writer.commit();
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/** All bytes of a blob, or of a range of it. */
export async function contentOf(
  store: BlobStore,
  key: string,
  range?: { start: number; end: number },
): Promise<Buffer> {
  return Buffer.concat(await collect(store.read(key, range)));
}

export async function textOf(
  store: BlobStore,
  key: string,
  range?: { start: number; end: number },
): Promise<string> {
  return (await contentOf(store, key, range)).toString();
}

export async function keysOf(store: BlobStore, prefix: string): Promise<string[]> {
  const entries = await collect(store.list(prefix));
  return entries.map((entry) => entry.key).toSorted();
}

export async function readText(reader: BlobReader, start: number, length: number): Promise<string> {
  return Buffer.from(await reader.read(start, length)).toString();
}
