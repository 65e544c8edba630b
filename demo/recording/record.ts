// Records the demo's second part as the picture in the README: runs the demo on a pseudo-terminal and draws
// what it wrote at the time it wrote it. Needs `script` of util-linux, which Linux distributions ship.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type LineVersion, type ScreenHistory, replay } from "./screen-history.ts";
import { svgAnimation } from "./svg-animation.ts";

const DEMO = fileURLToPath(new URL("../demo.ts", import.meta.url));
const PICTURE = fileURLToPath(new URL("../../docs/demo-kill-and-resume.svg", import.meta.url));
const COLUMNS = 92;
const HOLD_MS = 10_000;
const TITLE = "npm run demo, its second part, in real time";

/** Runs the demo on a pseudo-terminal; answers what it wrote, in chunks. */
function record(): { atMs: number; bytes: Uint8Array }[] {
  const directory = mkdtempSync(join(tmpdir(), "offpeak-recording-"));
  const output = join(directory, "output");
  const timing = join(directory, "timing");
  try {
    const command = `stty cols ${COLUMNS} rows 50 && "${process.execPath}" "${DEMO}"`;
    const { CI: _ci, NO_COLOR: _noColor, ...env } = process.env;
    execFileSync(
      "script",
      ["--quiet", "--return", "--log-out", output, "--log-timing", timing, "--command", command],
      { stdio: ["ignore", "inherit", "inherit"], env: { ...env, TERM: "xterm-256color" } },
    );
    return chunksOf(readFileSync(output), readFileSync(timing, "utf8"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The timing has a line for each chunk: seconds since the one before, and its size in bytes. */
function chunksOf(output: Buffer, timing: string): { atMs: number; bytes: Uint8Array }[] {
  // The first line is a header of script's own.
  let offset = output.indexOf("\n") + 1;
  let atMs = 0;
  return timing
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [seconds, sizeBytes] = line.split(" ").map(Number) as [number, number];
      atMs += seconds * 1000;
      const bytes = output.subarray(offset, (offset += sizeBytes));
      return { atMs, bytes };
    });
}

/** The lines from the heading of the second part to the one before the summary. */
function secondPart(history: ScreenHistory): ScreenHistory {
  const first = history.findIndex((versions) => textOf(versions).startsWith("2  kill"));
  const last = history.findIndex((versions) => textOf(versions).startsWith("Done in"));
  if (first === -1 || last === -1) throw new Error("The demo did not print what is recorded here.");
  const startMs = history[first]![0]!.atMs;
  return history
    .slice(first, last - 1)
    .map((versions) => versions.map(({ atMs, spans }) => ({ atMs: atMs - startMs, spans })));
}

function textOf(versions: readonly LineVersion[]): string {
  return (
    versions
      .at(-1)
      ?.spans.map(({ text }) => text)
      .join("") ?? ""
  );
}

const history = secondPart(replay(record()));
writeFileSync(PICTURE, svgAnimation(history, { title: TITLE, columns: COLUMNS, holdMs: HOLD_MS }));
console.log(`Wrote ${PICTURE}`);
