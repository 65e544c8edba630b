// What the demo prints: redrawn and coloured on a terminal, plain lines elsewhere.

import { Writable } from "node:stream";
import { WriteStream } from "node:tty";
import type { Batch } from "openai/resources";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Terminal, sizeText } from "./terminal.ts";

const ESCAPE = "\u001B[";

function printed(isTTY: boolean, print: (terminal: Terminal) => void, columns = 80): string {
  let text = "";
  const out = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  const getColorDepth = () => WriteStream.prototype.getColorDepth();
  print(
    new Terminal(Object.assign(out, { isTTY, columns, getColorDepth }) as unknown as WriteStream),
  );
  return text;
}

function polled(status: Batch["status"], completed: number, failed = 0): Batch {
  return { status, request_counts: { completed, failed, total: 100 } } as Batch;
}

beforeEach(() => {
  for (const name of ["NO_COLOR", "NODE_DISABLE_COLORS", "FORCE_COLOR", "CI"]) {
    vi.stubEnv(name, undefined);
  }
  vi.stubEnv("TERM", "xterm");
});
afterEach(() => vi.unstubAllEnvs());

describe("Terminal", () => {
  it("redraws one line of progress on a terminal and leaves its last state", () => {
    const text = printed(true, (terminal) => {
      const show = terminal.progress();
      show(polled("in_progress", 49, 1));
      show(polled("completed", 98, 2));
      terminal.line("next");
    });
    const [before, first, last] = text.split(`\r${ESCAPE}2K`);
    expect(before).toBe("");
    expect(first).toContain("50/100  in_progress");
    expect(first).not.toContain("\n");
    expect(last).toContain("█".repeat(30));
    expect(last).toMatch(/100\/100 {2}completed {2}\d+\.\d s\nnext\n$/);
  });

  it("prints lines elsewhere, for each quarter and each status", () => {
    const text = printed(false, (terminal) => {
      const show = terminal.progress();
      for (const done of [0, 10, 24, 25, 30, 49, 75, 80]) show(polled("in_progress", done));
      show(polled("finalizing", 80));
    });
    expect(text.match(/\d+\/100 {2}\w+/g)).toEqual([
      "0/100  in_progress",
      "25/100  in_progress",
      "75/100  in_progress",
      "80/100  finalizing",
    ]);
    expect(text).not.toContain(ESCAPE);
  });

  it("does not redraw what a narrow terminal would wrap", () => {
    const show = (terminal: Terminal) => terminal.progress()(polled("in_progress", 1));
    expect(printed(true, show, 40)).toMatch(/1\/100 {2}in_progress {2}\d+\.\d s\n$/);
  });

  it("colours a terminal unless NO_COLOR is set", () => {
    const step = (terminal: Terminal) => terminal.step("label", "text");
    expect(printed(true, step)).toContain(ESCAPE);
    vi.stubEnv("NO_COLOR", "1");
    expect(printed(true, step)).toBe("  label             text\n");
  });

  it("prints nothing after its end", () => {
    const text = printed(true, (terminal) => {
      terminal.progress()(polled("in_progress", 1));
      terminal.end();
      terminal.line("late");
    });
    expect(text).toMatch(/ s\n$/);
  });
});

it("gives sizes in the unit that suits them", () => {
  expect([sizeText(1), sizeText(65_400), sizeText(3_040_000)]).toEqual(["1 KB", "66 KB", "3.0 MB"]);
});
