// `npm run bench`: how much of the machine Offpeak leaves on the table. Each figure is a ratio to a reference
// measured in the same round, or a bound; groups of figures run one after the other, their rounds interleaved.

import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import type { BenchRun, Group } from "./bench-run.ts";
import { alternatives } from "./figures/alternatives.ts";
import { assembling } from "./figures/assembling.ts";
import { claims } from "./figures/claims.ts";
import { fullBatch } from "./figures/full-batch.ts";
import { idle } from "./figures/idle.ts";
import { latency1S } from "./figures/latency-1s.ts";
import { latency20Ms } from "./figures/latency-20ms.ts";
import { manyBatches } from "./figures/many-batches.ts";
import { million } from "./figures/million.ts";
import { nodes } from "./figures/nodes.ts";
import { openBatches } from "./figures/open-batches.ts";
import { responsiveness } from "./figures/responsiveness.ts";
import { restart } from "./figures/restart.ts";
import { smallBatch } from "./figures/small-batch.ts";
import { transfer } from "./figures/transfer.ts";
import { install } from "./installation.ts";
import { aboutMachine } from "./machine.ts";
import { endAll } from "./processes.ts";
import { type GroupReport, reportOf, tableOf } from "./report.ts";

const groups: readonly Group[] = [
  fullBatch,
  assembling,
  transfer,
  latency20Ms,
  latency1S,
  alternatives,
  smallBatch,
  openBatches,
  restart,
  responsiveness,
  idle,
  million,
  nodes,
  claims,
  manyBatches,
];

const HELP = `npm run bench -- [options]
  --rounds N          rounds of each group (default: 3; long groups run fewer)
  --only NAME[,NAME]  some groups only: ${groups.map(({ name }) => name).join(", ")}
  --all               also the groups that are measured only by name: ${groups.flatMap(({ name, onlyWhenAsked }) => (onlyWhenAsked ? name : [])).join(", ")}
  --json              print JSON with the value of every round
  --strict            end with exit code 1 when a target is missed or a figure could not be measured`;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    only: { type: "string" },
    all: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    strict: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

function refuse(message: string): never {
  console.error(`${message}\n\n${HELP}`);
  process.exit(2);
}

function chosenGroups(): Group[] {
  if (options.only === undefined) {
    return groups.filter(({ onlyWhenAsked }) => options.all || !onlyWhenAsked);
  }
  return options.only
    .split(",")
    .map(
      (name) =>
        groups.find((group) => group.name === name) ??
        refuse(`--only takes names of groups, got ${JSON.stringify(name)}`),
    );
}

if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const asked = Number(options.rounds);
if (!Number.isInteger(asked) || asked < 1) {
  refuse(`--rounds takes a whole number from 1, got ${JSON.stringify(options.rounds)}`);
}
const chosen = chosenGroups();

const directory = await mkdtemp(path.join(os.tmpdir(), "offpeak-bench-"));
process.once("exit", () => {
  endAll();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => process.exit(128 + os.constants.signals[signal]));
}

const startedMs = performance.now();
const progress = (text: string) => {
  console.error(`${((performance.now() - startedMs) / 1000).toFixed(0).padStart(5)} s  ${text}`);
};
const about = await aboutMachine(directory);
progress("compiling");
const offpeak = await install(path.join(directory, "offpeak"));
const run: BenchRun = { directory, offpeak, progress };
let hasFailed = false;

async function measureGroup(group: Group): Promise<GroupReport> {
  const rounds = Math.min(asked, group.mostRounds ?? asked);
  const measured: Record<string, number>[] = [];
  try {
    while (measured.length < rounds) {
      progress(`${group.name}: round ${measured.length + 1} of ${rounds}`);
      measured.push(await group.measure(run));
    }
  } catch (error) {
    // What the other groups measured would be lost otherwise.
    console.error(error);
    hasFailed = true;
  }
  return reportOf(group, measured);
}

const reports: GroupReport[] = [];
for (const group of chosen) reports.push(await measureGroup(group));

if (options.json) {
  console.log(JSON.stringify({ ...about, groups: reports }, null, 2));
} else {
  const facts = Object.entries(about).map(([name, value]) => `${name}: ${value}`);
  console.log(`${facts.join("; ")}\n\n${tableOf(reports)}`);
}
const isUnmet = reports
  .flatMap(({ figures }) => figures)
  .some(({ met }) => met === "missed" || met === "not measured");
process.exit(hasFailed || (options.strict && isUnmet) ? 1 : 0);
