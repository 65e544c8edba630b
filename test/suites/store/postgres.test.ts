// Holds PostgreSQL to the Store's contract.

import { onTestFinished } from "vitest";
import { openPostgresStore } from "../../../src/storage/sql/postgres.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { emptyPostgres } from "../../support/postgres-database.ts";
import { storeSuite } from "./store-suite.ts";

storeSuite("PostgreSQL", async () => {
  const url = await emptyPostgres();
  const clock = new FakeClock();
  const store = await openPostgresStore({ url, connections: 4, leaseClock: clock });
  const peer = await openPostgresStore({ url, connections: 4, leaseClock: clock });
  onTestFinished(async () => {
    await peer.close();
    await store.close();
  });
  return { store, peer, clock };
});
