// Ends multipart uploads that a dead process left behind: nobody sees them, but they are paid for. Young
// ones are left alone, since another node may be writing them.

import { AbortMultipartUploadCommand, ListMultipartUploadsCommand } from "@aws-sdk/client-s3";
import type { S3Connection } from "./s3-connection.ts";
import { codeOf } from "./s3-error.ts";

/** Ends all under the store's prefix that began before `beganBefore`; answers how many. */
export async function endStaleUploads(
  connection: S3Connection,
  beganBefore: number,
): Promise<number> {
  const { bucket } = connection;
  let ended = 0;
  let from: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
  while (from) {
    const marker: { KeyMarker?: string; UploadIdMarker?: string } = from;
    const page = await connection.run("list unfinished uploads", (client) =>
      client.send(
        new ListMultipartUploadsCommand({
          Bucket: bucket,
          Prefix: connection.objectKey(""),
          ...marker,
        }),
      ),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Initiated === undefined || Initiated.getTime() >= beganBefore) continue;
      await endUpload(connection, { Bucket: bucket, Key, UploadId });
      ended += 1;
    }
    const { NextKeyMarker, NextUploadIdMarker } = page;
    from =
      page.IsTruncated === true && NextKeyMarker !== undefined
        ? {
            KeyMarker: NextKeyMarker,
            ...(NextUploadIdMarker !== undefined && { UploadIdMarker: NextUploadIdMarker }),
          }
        : undefined;
  }
  return ended;
}

/** Harmless when another node was quicker. */
async function endUpload(
  connection: S3Connection,
  about: { Bucket: string; Key: string | undefined; UploadId: string | undefined },
): Promise<void> {
  await connection.run(`end the unfinished upload of ${about.Key}`, async (client) => {
    try {
      await client.send(new AbortMultipartUploadCommand(about));
    } catch (error) {
      if (codeOf(error) !== "NoSuchUpload") throw error;
    }
  });
}
