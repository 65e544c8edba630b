import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { Simulator } from "../simulator/simulator.ts";

const PROGRAM = `
  import { simulateCommand } from ${JSON.stringify(new URL("./simulate.ts", import.meta.url).href)};
  await simulateCommand().parseAsync(process.argv.slice(1), { from: "user" });
`;

let child: ChildProcessByStdio<null, Readable, Readable> | undefined;
afterEach(() => child?.kill("SIGKILL"));

function simulate(...flags: string[]) {
  const options = ["--input-type=module", "--eval", PROGRAM, "--", ...flags];
  child = spawn(process.execPath, options, { stdio: ["ignore", "pipe", "pipe"] });
  return child;
}

async function failure(...flags: string[]): Promise<{ exitCode: number; message: string }> {
  const running = simulate(...flags);
  const [message, [exitCode]] = await Promise.all([text(running.stderr), once(running, "exit")]);
  return { exitCode: exitCode as number, message };
}

describe("offpeak simulate", () => {
  it.each(["SIGINT", "SIGTERM"] as const)(
    "serves until %s, which it obeys at once",
    async (signal) => {
      const running = simulate(
        "--port",
        "0",
        "--model",
        "a",
        "--model",
        "b",
        "--output-tokens",
        "3",
      );
      const [message] = (await once(running.stdout.setEncoding("utf8"), "data")) as [string];
      const baseUrl = /http:\S+\/v1/.exec(message)?.[0] ?? "";
      expect(message).toContain(`offpeak serve --upstream ${baseUrl}`);
      const answer = await fetch(`${baseUrl}/completions`, {
        method: "POST",
        body: JSON.stringify({ model: "b", prompt: "Hi" }),
      });
      expect(await answer.json()).toMatchObject({
        model: "b",
        choices: [{ text: "Simulated answer to" }],
      });
      const exited = once(running, "exit");
      const hanging = fetch(`${baseUrl}/completions`, {
        method: "POST",
        body: JSON.stringify({ model: "b", prompt: "[simulate: hang]" }),
      });
      const inFlight = async () => {
        const report = await fetch(new URL("/simulator/stats", baseUrl));
        return ((await report.json()) as { in_flight: number }).in_flight;
      };
      await expect.poll(inFlight, { interval: 5, timeout: 10_000 }).toBe(1);
      running.kill(signal);
      await expect(hanging).rejects.toThrow("fetch failed");
      expect(await exited).toEqual([0, null]);
    },
  );

  it("makes images of the size and videos in the time it is told", async () => {
    const running = simulate("--port=0", "--image-bytes=200", "--time-to-video=3600000");
    const [message] = (await once(running.stdout.setEncoding("utf8"), "data")) as [string];
    const baseUrl = /http:\S+\/v1/.exec(message)?.[0] ?? "";
    const init = { method: "POST", body: JSON.stringify({ prompt: "A cat" }) };
    const images = (await (await fetch(`${baseUrl}/images/generations`, init)).json()) as {
      data: [{ b64_json: string }];
    };
    expect(Buffer.from(images.data[0].b64_json, "base64")).toHaveLength(200);
    const { id } = (await (await fetch(`${baseUrl}/videos`, init)).json()) as { id: string };
    expect(await (await fetch(`${baseUrl}/videos/${id}`)).json()).toMatchObject({
      status: "queued",
    });
  });

  it.each([
    [["--port", "8o"], 'expected a whole number from 0 to 65535, got "8o"'],
    [["--failure-rate", "2"], 'expected a number from 0 to 1, got "2"'],
    [["--image-bytes", "10"], 'expected a whole number from 100 to 16777216, got "10"'],
    [["--failure-kinds", "429,fire"], 'got "fire"'],
    [["--host", ""], "expected a value"],
    [["--bogus"], "unknown option '--bogus'"],
  ])("exits 2 for %j", async (flags, expected) => {
    const { exitCode, message } = await failure(...flags);
    expect(message).toContain(expected);
    expect(exitCode).toBe(2);
  });

  it("says what to do about a taken port and exits 1", async () => {
    await using other = new Simulator();
    await other.start();
    const { exitCode, message } = await failure("--port", new URL(other.origin).port);
    expect(message).toContain("is taken by another process. Choose another one with --port");
    expect(exitCode).toBe(1);
  });
});
