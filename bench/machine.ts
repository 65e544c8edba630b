// What the figures were measured on: machine, versions, and what an fsync costs here.

import { open, readFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { hasTaskset, outputOf } from "./processes.ts";
import { median } from "./report.ts";

const SYNCS = 200;
const RECORD = Buffer.alloc(1_000, "x");

/** The Python that has Debian's python3-aiohttp. */
export const PYTHON = "/usr/bin/python3";

/** The version of aiohttp; null when it is not installed. */
export async function aiohttpVersion(): Promise<string | null> {
  try {
    return (await outputOf([PYTHON, "-c", "import aiohttp; print(aiohttp.__version__)"])).trim();
  } catch {
    return null;
  }
}

export async function aboutMachine(directory: string): Promise<Record<string, string>> {
  const [cpu] = os.cpus();
  const versions = await pinnedVersions();
  const gib = Math.round(os.totalmem() / 2 ** 30);
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${os.cpus().length} × ${cpu?.model}, ${gib} GiB, ${os.type()} ${os.release()}`,
    "load before": os.loadavg()[0]?.toFixed(2) ?? "",
    "1,000 bytes appended and synced": `${(await syncMs(directory)).toFixed(2)} ms`,
    node: process.versions.node,
    undici: versions["undici"] ?? "",
    "openai SDK": versions["openai"] ?? "",
    backend: hasTaskset ? "kept on one core" : "on any core",
    aiohttp: (await aiohttpVersion()) ?? "not installed",
  };
}

/** Dependencies are pinned, so what package.json says is what is installed. */
async function pinnedVersions(): Promise<Record<string, string>> {
  const text = await readFile(path.join(import.meta.dirname, "../package.json"), "utf8");
  const { dependencies, devDependencies } = JSON.parse(text) as Record<
    string,
    Record<string, string>
  >;
  return { ...dependencies, ...devDependencies };
}

async function syncMs(directory: string): Promise<number> {
  const file = await open(path.join(directory, "sync-probe"), "a");
  const times: number[] = [];
  for (let count = 0; count < SYNCS; count++) {
    const startedMs = performance.now();
    await file.appendFile(RECORD);
    await file.datasync();
    times.push(performance.now() - startedMs);
  }
  await file.close();
  return median(times);
}
