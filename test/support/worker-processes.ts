// The worker processes of a server under test, found by what the server's log says of them.
import type { ServerProcess } from "./server-process.ts";
import { until } from "./until.ts";

/** Process ids by the workers' numbers: of those started last, whether they live or not. */
export function workerPids(server: ServerProcess): Map<number, number> {
  const started = server.logged("worker started");
  return new Map(started.map(({ worker, pid }) => [Number(worker), Number(pid)]));
}

export async function workersStarted(server: ServerProcess, count: number): Promise<void> {
  await until(`${count} workers`, () => workerPids(server).size === count);
}

/** Kills the worker of that number as it runs now, or next. Resolves when the server knows. */
export async function killWorker(server: ServerProcess, number: number): Promise<void> {
  const deaths = () => server.logged("worker died; its work is free for the others");
  const isItsOwn = (line: Record<string, unknown>) => line["worker"] === number;
  const before = deaths().filter(isItsOwn).length;
  const starts = () => server.logged("worker started").filter(isItsOwn);
  const pid = await until(`worker ${number} to run`, () => starts()[before]?.["pid"]);
  process.kill(Number(pid), "SIGKILL");
  await until(`worker ${number} to die`, () => deaths().filter(isItsOwn).length > before, {
    pauseMs: 2,
  });
}
