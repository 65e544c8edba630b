// Nodes in SQL: a row each, which says until when its node lives.

import { sql } from "kysely";
import type { NodeBeat, NodeStore } from "../../core/node-store.ts";
import type { NodeRow } from "./schema.ts";
import type { SqlDatabase, Tx } from "./sql-database.ts";

export function nodeStore(database: SqlDatabase): NodeStore {
  function findLiving(tx: Tx) {
    return tx
      .selectFrom("nodes")
      .selectAll()
      .select(sql<number>`${database.now()}`.as("now"))
      .where("lives_until", ">", database.now())
      .orderBy("id")
      .execute();
  }

  return {
    beat: async (node, lifeMs) => {
      const said = {
        lives_until: sql<number>`${database.now()} + ${lifeMs}`,
        wants_alone: JSON.stringify(node.wantsAlone),
        empty_for: JSON.stringify(node.emptyFor),
        lanes: JSON.stringify(node.lanes),
      };
      const row = {
        id: node.id,
        role: node.role,
        started_at: node.startedAt,
        host: node.host,
        secret_key_id: node.secretKeyId,
        ...said,
      };
      await database.repeatable((tx) =>
        tx
          .insertInto("nodes")
          .values(row)
          .onConflict((conflict) => conflict.column("id").doUpdateSet(said))
          .execute(),
      );
      const rows = await database.read(findLiving);
      return { living: rows.map(toBeat), now: rows[0]?.now ?? Number.NaN };
    },

    leave: (id) =>
      database.write(async (tx) => {
        await tx.deleteFrom("nodes").where("id", "=", id).execute();
        // The dead say nothing of themselves any more.
        await tx.deleteFrom("nodes").where("lives_until", "<=", database.now()).execute();
      }),

    living: async () => (await database.read(findLiving)).map(toBeat),
  };
}

function toBeat(row: NodeRow): NodeBeat {
  return {
    id: row.id,
    role: row.role,
    startedAt: row.started_at,
    host: row.host,
    secretKeyId: row.secret_key_id,
    wantsAlone: JSON.parse(row.wants_alone) as Record<string, string>,
    emptyFor: JSON.parse(row.empty_for) as Record<string, string>,
    lanes: JSON.parse(row.lanes) as NodeBeat["lanes"],
  };
}
