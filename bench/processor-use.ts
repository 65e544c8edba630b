// What processors did between two moments: this process and all that descend from it, by name, and how much
// was left idle. Needs Linux.

import { readFileSync, readdirSync } from "node:fs";
import os from "node:os";

const TICK_MS = 10;

interface Moment {
  atMs: number;
  idleMs: number;
  allMs: number;
  byPid: ReadonlyMap<number, { name: string; ms: number }>;
}

export interface ProcessorUse {
  /** Of all processors, in per cent. */
  percent: number;
  idlePercent: number;
  /** Of one processor, by name of the program. */
  percentByName: ReadonlyMap<string, number>;
}

/** Begins to count; the function that it answers says what was used until it is called. */
export function countProcessorUse(): () => ProcessorUse {
  const start = now();
  return () => {
    const end = now();
    const percentByName = new Map<string, number>();
    let total = 0;
    for (const [pid, { name, ms }] of end.byPid) {
      const used = (100 * (ms - (start.byPid.get(pid)?.ms ?? 0))) / (end.atMs - start.atMs);
      percentByName.set(name, (percentByName.get(name) ?? 0) + used);
      total += used;
    }
    const idlePercent = (100 * (end.idleMs - start.idleMs)) / (end.allMs - start.allMs);
    return { percent: total / os.cpus().length, idlePercent, percentByName };
  };
}

function now(): Moment {
  const times = os.cpus().map((cpu) => cpu.times);
  const idleMs = times.reduce((sum, { idle }) => sum + idle, 0);
  const allMs = times.reduce(
    (sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq,
    0,
  );
  return { atMs: performance.now(), idleMs, allMs, byPid: descendants() };
}

function descendants(): Moment["byPid"] {
  const all = readdirSync("/proc")
    .map(Number)
    .flatMap((pid) => statOf(pid) ?? []);
  const found = new Map<number, { name: string; ms: number }>();
  const add = (pid: number) => {
    for (const { parent, pid: child, name, ms } of all) {
      if (parent !== pid || found.has(child)) continue;
      found.set(child, { name, ms });
      add(child);
    }
  };
  const self = statOf(process.pid);
  if (self) found.set(self.pid, { name: "the benchmark itself", ms: self.ms });
  add(process.pid);
  return found;
}

function statOf(pid: number) {
  if (Number.isNaN(pid)) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const nameEnd = stat.lastIndexOf(")");
    const fields = stat.slice(nameEnd + 2).split(" ");
    const ms = (Number(fields[11]) + Number(fields[12])) * TICK_MS;
    return { pid, parent: Number(fields[1]), name: stat.slice(stat.indexOf("(") + 1, nameEnd), ms };
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}
