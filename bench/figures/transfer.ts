// A file of 200 MB up and down, by one client over a raw socket, against the same bytes through a bare socket.

import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import path from "node:path";
import { Backend } from "../backend.ts";
import { defineGroup } from "../bench-run.ts";
import { exchange } from "../http-exchange.ts";
import { inputFile } from "../input-file.ts";
import { nodeCommand, startProcess } from "../processes.ts";
import { Server } from "../server.ts";

const SHAPE = { lines: 50_000, lineBytes: 4_000 };
const SIZE_BYTES = SHAPE.lines * SHAPE.lineBytes;
/** The better of two: the first through a new process pays for its compilation, on both sides. */
const TRIES = 2;

async function fastest(tookMs: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  while (times.length < TRIES) times.push(await tookMs());
  return Math.min(...times);
}

export const transfer = defineGroup({
  name: "transfer",
  about: "200 MB over loopback, the better of two tries on each side",
  figures: {
    upload: {
      name: "upload rate ÷ raw socket to a file with fsync",
      unit: "×",
      target: { must: 0.5, wish: 0.8, better: "higher" },
    },
    download: {
      name: "download rate ÷ the file through a bare socket",
      unit: "×",
      target: { must: 0.8, better: "higher" },
    },
    uploadTook: { name: "upload", unit: "ms" },
    bareUploadTook: { name: "raw socket to a file with fsync", unit: "ms" },
    downloadTook: { name: "download", unit: "ms" },
    bareDownloadTook: { name: "the file through a bare socket", unit: "ms" },
  },
  async measure(run) {
    const file = await inputFile(run.directory, SHAPE);
    const received = path.join(run.directory, "received");
    const upload = () => ({
      content: createReadStream(file, { highWaterMark: 1024 * 1024 }),
      sizeBytes: SIZE_BYTES,
    });
    await using backend = await Backend.start();
    await using bare = await startProcess(nodeCommand("bare-transfer.ts", [file, received]));
    await using server = await Server.start(run, { backendUrl: backend.baseUrl });

    const bareUploadTook = await fastest(
      async () => (await exchange(bare.firstLine, "POST", upload())).tookMs,
    );
    await rm(received);
    let fileId = "";
    const uploadTook = await fastest(async () => {
      const { id, tookMs } = await server.upload(upload());
      fileId = id;
      return tookMs;
    });
    const download = async (url: string) => {
      const { bodyBytes, tookMs } = await exchange(url, "GET");
      if (bodyBytes === SIZE_BYTES) return tookMs;
      throw new Error(`expected ${SIZE_BYTES} bytes from ${url}, got ${bodyBytes}`);
    };
    const bareDownloadTook = await fastest(() => download(bare.firstLine));
    const downloadTook = await fastest(() => download(`${server.url}/v1/files/${fileId}/content`));
    return {
      upload: bareUploadTook / uploadTook,
      download: bareDownloadTook / downloadTook,
      uploadTook,
      bareUploadTook,
      downloadTook,
      bareDownloadTook,
    };
  },
});
