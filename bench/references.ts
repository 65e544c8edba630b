// What Offpeak is measured against, each in a process of its own.

import { rm } from "node:fs/promises";
import type { Backend } from "./backend.ts";
import { nodeCommand, outputOf } from "./processes.ts";

/** One time over all lines. */
export interface Pass {
  ms: number;
  processorMs: number;
}

interface DispatchOptions {
  inFlight: number;
  passes?: number;
}

/** The calls of the file in a bare dispatch loop. */
export async function bareDispatch(
  { baseUrl }: Backend,
  file: string,
  { inFlight, passes = 1 }: DispatchOptions,
): Promise<[Pass, ...Pass[]]> {
  const args = [baseUrl, file, String(inFlight), String(passes)];
  return JSON.parse(await outputOf(nodeCommand("bare-dispatch.ts", args))) as [Pass, ...Pass[]];
}

/** Reading the file and parsing each line; milliseconds of each pass. */
export async function barePasses(file: string, passes: number): Promise<number[]> {
  const output = await outputOf(nodeCommand("bare-pass.ts", [file, String(passes)]));
  return output.trim().split("\n").map(Number);
}

/** `cp` and fsync; milliseconds. */
export async function copyMs(file: string): Promise<number> {
  const copy = `${file}.copy`;
  const startedMs = performance.now();
  await outputOf(["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", file, copy]);
  const tookMs = performance.now() - startedMs;
  await rm(copy);
  return tookMs;
}
