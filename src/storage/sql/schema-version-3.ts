// Version 3: the nodes that share a database.

import type { SqlDatabase } from "./sql-database.ts";

export function schemaVersion3(_database: SqlDatabase): readonly string[] {
  return [
    `create table nodes (
      id text not null primary key,
      role text not null,
      started_at bigint not null,
      lives_until bigint not null,
      wants_alone text not null,
      empty_for text not null,
      lanes text not null
    )`,
  ];
}
