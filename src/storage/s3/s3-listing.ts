// What is in the bucket, as keys. A blob is the object under its key. A log is segments under the key, "!" and
// a number; "!" can't be in a key and sorts before every character of one, so segments stand together.

import { HeadObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { NotFoundError } from "../../core/store.ts";
import type { S3Connection } from "./s3-connection.ts";
import { isMissing, statusOf, strangeAnswer, toStoreError } from "./s3-error.ts";

export interface StoredObject {
  objectKey: string;
  sizeBytes: number;
  /** Without quotes. Another content has another one. */
  etag: string;
  modifiedAt: number;
}

const SEGMENT = /^(.+)!(\d{10})$/;
const SEGMENT_DIGITS = 10;

/** The object of a log's segment. */
export function segmentKey(connection: S3Connection, key: string, sequence: number): string {
  return `${segmentPrefix(connection, key)}${String(sequence).padStart(SEGMENT_DIGITS, "0")}`;
}

function segmentPrefix(connection: S3Connection, key: string): string {
  return `${connection.objectKey(key)}!`;
}

/** An ETag to compare: servers quote it in some answers only. */
export function plainEtag(etag: string | undefined): string {
  return (etag ?? "").replace(/^W\//, "").replaceAll('"', "");
}

/** All objects whose name begins with `prefix`, in the order of their names, as pages arrive. */
export async function* listObjects(
  connection: S3Connection,
  prefix: string,
  pageSize?: number,
): AsyncGenerator<StoredObject[]> {
  let token: string | undefined;
  do {
    const page = await connection.run(`list ${prefix}`, (client) =>
      client.send(
        new ListObjectsV2Command({
          Bucket: connection.bucket,
          Prefix: prefix,
          ...(pageSize !== undefined && { MaxKeys: pageSize }),
          ...(token !== undefined && { ContinuationToken: token }),
        }),
      ),
    );
    if (page.Name === undefined && page.KeyCount === undefined) {
      throw strangeAnswer(`list ${prefix}`);
    }
    yield (page.Contents ?? []).map(({ Key, Size, ETag, LastModified }) => ({
      objectKey: Key ?? "",
      sizeBytes: Size ?? 0,
      etag: plainEtag(ETag),
      modifiedAt: LastModified?.getTime() ?? 0,
    }));
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    if (page.IsTruncated === true && token === undefined) {
      throw new Error(`S3 listed a part of ${prefix} and did not say how to go on.`);
    }
  } while (token !== undefined);
}

/** Blobs and logs under a prefix of keys: each once, a log with the time of its last segment. */
export async function* listKeys(
  connection: S3Connection,
  prefix: string,
): AsyncGenerator<{ key: string; modifiedAt: number }> {
  let current: { key: string; modifiedAt: number } | undefined;
  for await (const page of listObjects(connection, connection.objectKey(prefix))) {
    for (const { objectKey, modifiedAt } of page) {
      const name = connection.keyOf(objectKey);
      const key = SEGMENT.exec(name)?.[1] ?? name;
      if (current?.key === key) {
        current.modifiedAt = Math.max(current.modifiedAt, modifiedAt);
        continue;
      }
      if (current) yield current;
      current = { key, modifiedAt };
    }
  }
  if (current) yield current;
}

/** Whether there is a blob or a log under the key. */
export async function exists(connection: S3Connection, key: string): Promise<boolean> {
  const objectKey = connection.objectKey(key);
  // What belongs to the key comes first.
  for await (const [first] of listObjects(connection, objectKey, 1)) {
    if (first === undefined) continue;
    return first.objectKey === objectKey || first.objectKey.startsWith(`${objectKey}!`);
  }
  return false;
}

/** The object of a blob; undefined when there is none. */
export async function findBlob(
  connection: S3Connection,
  key: string,
): Promise<(StoredObject & { metadata: Record<string, string> }) | undefined> {
  const objectKey = connection.objectKey(key);
  try {
    const head = await connection.runRaw((client) =>
      client.send(new HeadObjectCommand({ Bucket: connection.bucket, Key: objectKey })),
    );
    return {
      objectKey,
      sizeBytes: head.ContentLength ?? 0,
      etag: plainEtag(head.ETag),
      modifiedAt: head.LastModified?.getTime() ?? 0,
      metadata: head.Metadata ?? {},
    };
  } catch (error) {
    // An answer to HEAD has no body that could say more.
    if (isMissing(error) || statusOf(error) === 404) return undefined;
    throw toStoreError(error, `look at ${objectKey}`);
  }
}

/** The segments of a log in order, none when there is no log. Throws when one between them is missing. */
export async function findSegments(connection: S3Connection, key: string): Promise<StoredObject[]> {
  const segments: StoredObject[] = [];
  for await (const page of listObjects(connection, segmentPrefix(connection, key))) {
    for (const object of page) {
      const sequence = SEGMENT.exec(object.objectKey)?.[2];
      if (sequence === undefined) continue;
      if (Number(sequence) !== segments.length)
        throw missingSegment(connection, key, segments.length);
      segments.push(object);
    }
  }
  return segments;
}

function missingSegment(connection: S3Connection, key: string, sequence: number): Error {
  return new Error(
    `The log ${key} is damaged: later segments are there, but ${segmentKey(connection, key, sequence)} is missing from ` +
      `the bucket ${connection.bucket}. Something else has deleted it; restore it from a backup or an older version.`,
  );
}

export function noBlob(key: string): NotFoundError {
  return new NotFoundError(`There is no blob under the key ${key}.`);
}
