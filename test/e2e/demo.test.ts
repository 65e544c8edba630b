// The demo as a visitor runs it: it tells the truth about kept and resent lines, exits 0, and leaves no
// process and no directory behind, whether it ends by itself, is interrupted, or fails.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";

const DEMO = fileURLToPath(new URL("../../demo/demo.ts", import.meta.url));

let directory: string;
let demo: ChildProcess;
let output: string;
let errors: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "offpeak-demo-test-"));
  output = "";
  errors = "";
  // In a process group of its own, so that whatever it leaves running can be found.
  demo = spawn(process.execPath, [DEMO], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: directory, NO_COLOR: "1", OFFPEAK_PORT: "1" },
  });
  demo.stdout!.setEncoding("utf8").on("data", (text: string) => (output += text));
  demo.stderr!.setEncoding("utf8").on("data", (text: string) => (errors += text));
});

afterEach(async () => {
  if (isGroupAlive()) process.kill(-demo.pid!, "SIGKILL");
  await rm(directory, { recursive: true });
});

function isGroupAlive(): boolean {
  try {
    return process.kill(-demo.pid!, 0);
  } catch {
    return false;
  }
}

async function exitCode(): Promise<number | null> {
  const [code] = (await once(demo, "close")) as [number | null];
  return code;
}

async function serverPid(): Promise<number> {
  await expect.poll(() => output, { interval: 20, timeout: 30_000 }).toMatch(/process \d+\n/);
  return Number(/process (\d+)\n/.exec(output)![1]);
}

async function expectNothingLeft(): Promise<void> {
  expect(isGroupAlive()).toBe(false);
  expect(await readdir(directory)).toEqual([]);
}

function counted(what: RegExp): number {
  const [, count] = what.exec(output) ?? [];
  return Number(count);
}

it("runs both parts and counts honestly", async () => {
  expect(await exitCode(), output + errors).toBe(0);
  expect(errors).toBe("");
  expect(output).not.toContain("\u001B");

  expect(output).toContain("268/268  completed");
  expect(counted(/(\d+) of 261 tickets/)).toBeGreaterThan(170);

  const kept = counted(/(\d+) {2}kept/);
  const resent = counted(/(\d+) {2}sent again/);
  const later = counted(/(\d+) {2}sent for the first time/);
  expect(kept).toBe(counted(/(\d+) results in the journal/));
  expect(kept).toBeGreaterThanOrEqual(240);
  expect(resent).toBeGreaterThan(0);
  // At most 64 in flight, and no more than as many answers on their way to the disk.
  expect(resent).toBeLessThanOrEqual(128);
  expect(kept + resent + later).toBe(600);
  expect(counted(/(\d+) {2}requests for 600 lines/)).toBe(600 + resent);
  expect(output.match(/\[?Simulated 4\d\d/g)).toHaveLength(5);
  expect(output).toContain("595 in the output file, 5 in the error file.");

  const [killed, restarted] = [/kill -9 (\d+)/, /Process (\d+), same directory/].map(counted);
  expect(killed).toBe(await serverPid());
  expect(restarted).not.toBe(killed);
  await expectNothingLeft();
});

it("cleans up when it is interrupted", async () => {
  await serverPid();
  demo.kill("SIGINT");
  expect(await exitCode()).toBe(130);
  expect(errors).toBe("\nStopped by SIGINT.\n");
  await expectNothingLeft();
});

it("fails with the server's last words when the server dies by itself", async () => {
  process.kill(await serverPid(), "SIGKILL");
  expect(await exitCode()).toBe(1);
  expect(errors).toContain("Connection error");
  expect(errors).toContain("Offpeak listens on");
  await expectNothingLeft();
});
