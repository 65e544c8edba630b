import { expect, test } from "vitest";
import { createLog } from "./log.ts";
import { readableLine } from "./readable-line.ts";

function logged(write: (log: ReturnType<typeof createLog>) => void, level = "info"): string[] {
  const lines: string[] = [];
  write(createLog(level, { write: (line) => lines.push(line) }));
  return lines;
}

test("a line is JSON with the level by name, an ISO time and what its log carries", () => {
  const [line] = logged((log) => log.child({ batch_id: "batch_1" }).warn({ lines: 3 }, "paused"));
  expect(JSON.parse(line as string)).toEqual({
    level: "warn",
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    batch_id: "batch_1",
    lines: 3,
    msg: "paused",
  });
});

test("what is below the level is not written", () => {
  expect(logged((log) => log.info("x"), "warn")).toEqual([]);
});

test("keys and authorization headers are not written", () => {
  const [line] = logged((log) =>
    log.info({
      authorization: "Bearer secret-1",
      headers: { authorization: "Bearer secret-2", cookie: "secret-3" },
      req: { headers: { authorization: "Bearer secret-4" } },
      upstream: { apiKey: "secret-5", api_key: "secret-6" },
    }),
  );
  expect(line).not.toContain("secret-");
  expect(line).toContain("[redacted]");
});

test("an error is written with its message and stack", () => {
  const [line] = logged((log) => log.error({ err: new Error("disk on fire") }, "failed"));
  expect(JSON.parse(line as string).err).toMatchObject({
    message: "disk on fire",
    stack: expect.stringContaining("log.test.ts"),
  });
});

test("at a terminal a line is time, level, message and the rest", () => {
  const line = {
    time: "2026-11-22T10:11:12.345Z",
    level: "info",
    msg: "paused",
    n: 1,
    why: "no room",
  };
  expect(readableLine(JSON.stringify(line))).toBe('10:11:12.345 INFO  paused n=1 why="no room"\n');
});

test("at a terminal an error stands below its line, indented", () => {
  const err = { message: "no", stack: "Error: no\n    at x" };
  const line = { time: "2026-11-22T10:11:12.345Z", level: "error", msg: "failed", err };
  expect(readableLine(JSON.stringify(line))).toBe(
    "10:11:12.345 ERROR failed\n  Error: no\n      at x\n",
  );
});
