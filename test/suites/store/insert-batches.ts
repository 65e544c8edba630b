// Run as a process: inserts batches into the database named by the first argument until it is killed,
// and prints the id of each one that is durable.

import { systemClock } from "../../../src/core/clock.ts";
import { openSqliteStore } from "../../../src/storage/sql/sqlite.ts";
import { aBatch } from "./store-under-test.ts";

const store = await openSqliteStore({ path: process.argv[2]!, clock: systemClock });
for (let index = 0; ; index += 1) {
  const id = `b${String(index).padStart(6, "0")}`;
  await store.batches.insert(aBatch(id));
  process.stdout.write(`${id}\n`);
}
