// Signals between nodes over PostgreSQL: they arrive, not at their sender, and again after the connection
// was lost.

import { expect, inject, it, onTestFinished } from "vitest";
import { type SignalName, Signals } from "../../../src/core/signals.ts";
import { PostgresSignals } from "../../../src/storage/sql/postgres-signals.ts";
import { administer } from "../../support/postgres-database.ts";
import { PostgresServer } from "../../support/postgres-server.ts";
import { until } from "../../support/until.ts";

const names = ["batch-created", "batch-planned", "batch-ending", "batch-ended"] as const;

interface Node {
  signals: Signals;
  heard: SignalName[];
}

async function connectedNode(url: string): Promise<Node> {
  const signals = new Signals();
  const bus = new PostgresSignals(url, signals);
  onTestFinished(() => bus.close());
  await bus.start();
  const heard: SignalName[] = [];
  for (const name of [...names, "bytes-unneeded"] as const) {
    signals.on(name, () => heard.push(name));
  }
  return { signals, heard };
}

it("reach the other nodes once, and their sender by itself only", async () => {
  const url = inject("postgresUrl");
  const [sender, first, second] = await Promise.all([1, 2, 3].map(() => connectedNode(url)));
  for (const name of names) sender!.signals.emit(name);
  sender!.signals.emit("bytes-unneeded");
  await until("all of them", () => first!.heard.length === 4 && second!.heard.length === 4);
  for (const node of [first, second]) expect(node!.heard.toSorted()).toEqual(names.toSorted());
  expect(sender!.heard).toEqual([...names, "bytes-unneeded"]);
});

it("reach them again after the connections were cut, and all is signalled for what was missed", async () => {
  const url = inject("postgresUrl");
  const [sender, receiver] = await Promise.all([1, 2].map(() => connectedNode(url)));
  await administer(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'offpeak signals'",
  );
  await until("the connections to be back", () => names.every((n) => receiver!.heard.includes(n)));
  const arrived = await until("a signal", () => {
    receiver!.heard.length = 0;
    sender!.signals.emit("batch-planned");
    return until("it to arrive", () => receiver!.heard.includes("batch-planned"), {
      timeoutMs: 500,
    });
  });
  expect(arrived).toBe(true);
});

it("fail nobody while the server is away", async () => {
  const server = await PostgresServer.start();
  onTestFinished(() => server[Symbol.asyncDispose]());
  const [sender, receiver] = await Promise.all([1, 2].map(() => connectedNode(server.url())));
  await server.kill();
  for (const name of names) sender!.signals.emit(name);
  expect(receiver!.heard).toEqual([]);
  await server.resume();
  await until("the connections to be back", () => names.every((n) => receiver!.heard.includes(n)));
});
