// Reaches into the database of a server, stopped or running, for what no client can do: make time pass,
// and see who holds what.
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

function withDatabase<T>(dataDir: string, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(join(dataDir, "offpeak.db"), { timeout: 5_000 });
  try {
    return use(database);
  } finally {
    database.close();
  }
}

/** Moves the end of a batch's completion window, as if it had been created earlier. */
export function moveDeadline(dataDir: string, batchId: string, expiresAt: Date): void {
  withDatabase(dataDir, (database) => {
    const { changes } = database
      .prepare("update batches set expires_at = ? where id = ?")
      .run(expiresAt.getTime(), batchId);
    if (changes !== 1) throw new Error(`there is no batch ${batchId} in ${dataDir}`);
  });
}

/** How many shards and batches are still claimed by somebody. */
export function countClaims(dataDir: string): number {
  return withDatabase(dataDir, (database) => {
    const row = database
      .prepare(
        `select (select count(*) from shards where lease_owner is not null)
              + (select count(*) from batches where lease_owner is not null) as claims`,
      )
      .get();
    return Number(row?.["claims"]);
  });
}
