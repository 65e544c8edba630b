// Holds SQLite to the Store's contract. PostgreSQL has a file of its own, so that both run at the same time.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { openSqliteStore } from "../../../src/storage/sql/sqlite.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { storeSuite } from "./store-suite.ts";

storeSuite("SQLite in memory", async () => {
  const clock = new FakeClock();
  const store = await openSqliteStore({ path: ":memory:", clock });
  onTestFinished(() => store.close());
  return { store, peer: store, clock };
});

storeSuite("SQLite file", async () => {
  const folder = await mkdtemp(join(tmpdir(), "offpeak-store-"));
  const path = join(folder, "offpeak.db");
  const clock = new FakeClock();
  const store = await openSqliteStore({ path, clock });
  const peer = await openSqliteStore({ path, clock });
  onTestFinished(async () => {
    await peer.close();
    await store.close();
    await rm(folder, { recursive: true });
  });
  return { store, peer, clock };
});
