// What a batch is found by, kept for ever, unlike its shards: the pairs of its metadata, and the models
// that its lines name or that it shows.

import type { NewBatch } from "../../core/batch.ts";
import type { BatchRow } from "./schema.ts";
import type { Tx } from "./sql-database.ts";

type NamedBatch = Pick<BatchRow, "seq" | "project_id">;

export async function insertMetadata(
  tx: Tx,
  seq: number,
  { projectId, metadata }: NewBatch,
): Promise<void> {
  const rows = Object.entries(metadata ?? {}).map(([key, value]) => ({
    project_id: projectId,
    key,
    value,
    batch_seq: seq,
  }));
  if (rows.length === 0) return;
  // Keys that differ only in what no database can hold (half a character) are one.
  await tx
    .insertInto("batch_metadata")
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Of a batch that is being planned: the models its lines name ("" when they name none), and the one it shows. */
export async function insertModelNames(
  tx: Tx,
  batch: NamedBatch,
  requested: readonly string[],
  shown: string | null,
): Promise<void> {
  for (const model of new Set(requested)) {
    if (model !== "") await insertModelName(tx, batch, model, 1);
  }
  if (shown !== null) await insertModelName(tx, batch, shown, 0);
}

/** The batch, which shows `batch.model`, shows this model from now on. */
export async function showModel(
  tx: Tx,
  batch: NamedBatch & Pick<BatchRow, "model">,
  model: string,
): Promise<void> {
  if (model === batch.model) return;
  await tx.updateTable("batches").set({ model }).where("seq", "=", batch.seq).execute();
  if (batch.model !== null) {
    await tx
      .deleteFrom("batch_model_names")
      .where("project_id", "=", batch.project_id)
      .where("model", "=", batch.model)
      .where("batch_seq", "=", batch.seq)
      .where("requested", "=", 0)
      .execute();
  }
  await insertModelName(tx, batch, model, 0);
}

async function insertModelName(
  tx: Tx,
  batch: NamedBatch,
  model: string,
  requested: 0 | 1,
): Promise<void> {
  await tx
    .insertInto("batch_model_names")
    .values({ project_id: batch.project_id, model, batch_seq: batch.seq, requested })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
