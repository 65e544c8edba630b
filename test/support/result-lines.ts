// What the files of an ended batch of an engine stage say, line by line.
import type { Batch } from "../../src/core/batch.ts";
import { blobKeys } from "../../src/core/blob-store.ts";
import type { EngineStage } from "./engine-stage.ts";

interface AnswerBody extends Record<string, unknown> {
  error?: { code: string };
}

export interface ResultLine {
  custom_id: string;
  response: { status_code: number; body: AnswerBody } | null;
  error: { code: string; message: string } | null;
}

export async function resultLines(
  { blobs }: EngineStage,
  { outputFileId, errorFileId }: Batch,
): Promise<{ output: ResultLine[]; errors: ResultLine[] }> {
  const linesOf = async (fileId: string | null): Promise<ResultLine[]> => {
    if (fileId === null) return [];
    const chunks: Uint8Array[] = [];
    for await (const chunk of blobs.read(blobKeys.file(fileId))) chunks.push(chunk);
    const lines = Buffer.concat(chunks).toString().split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as ResultLine);
  };
  return { output: await linesOf(outputFileId), errors: await linesOf(errorFileId) };
}
