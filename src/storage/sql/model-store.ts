// Models in SQL: what each upstream answered when it was last asked successfully.

import type { ModelStore } from "../../core/store.ts";
import type { SqlDatabase } from "./sql-database.ts";

export function modelStore(database: SqlDatabase): ModelStore {
  return {
    save: (upstream, models, at) =>
      database.repeatable(async (tx) => {
        const found = { models: JSON.stringify(models), discovered_at: at };
        await tx
          .insertInto("upstream_models")
          .values({ upstream, ...found })
          .onConflict((conflict) => conflict.column("upstream").doUpdateSet(found))
          .execute();
      }),

    all: () =>
      database.read(async (tx) => {
        const rows = await tx.selectFrom("upstream_models").selectAll().execute();
        return new Map(rows.map((row) => [row.upstream, JSON.parse(row.models) as string[]]));
      }),
  };
}
