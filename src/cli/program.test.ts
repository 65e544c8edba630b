import { expect, test } from "vitest";
import { buildProgram } from "./program.ts";

/** Runs a command line up to where it would exit. */
async function run(...line: string[]): Promise<{ exitCode: number; said: string }> {
  let said = "";
  class Exit extends Error {
    readonly code: number;
    constructor(code: number) {
      super(`exit ${code}`);
      this.code = code;
    }
  }
  const program = buildProgram((code) => {
    throw new Exit(code);
  });
  const write = (text: string) => {
    said += text;
  };
  for (const command of [program, ...program.commands]) {
    command.configureOutput({ writeOut: write, writeErr: write });
  }
  try {
    await program.parseAsync(line, { from: "user" });
  } catch (error) {
    if (error instanceof Exit) return { exitCode: error.code, said };
    throw error;
  }
  throw new Error("The command went on.");
}

test.each([
  [["serv"], "unknown command 'serv'\n(Did you mean serve?)"],
  [["simulat"], "unknown command 'simulat'\n(Did you mean simulate?)"],
  [["serve", "--prot", "1"], "unknown option '--prot'\n(Did you mean --port?)"],
  [["serve", "--port"], "option '--port <number>' argument missing"],
  [["serve", "stray"], "too many arguments for 'serve'"],
  [["simulate", "--prot", "1"], "unknown option '--prot'\n(Did you mean --port?)"],
])("%j is refused with what is nearest", async (line, message) => {
  const { exitCode, said } = await run(...line);
  expect(exitCode).toBe(2);
  expect(said).toContain(message);
  expect(said).toContain("--help");
});

test.each([
  [["serve", "--port", "x"], '--port: expected a whole number from 0 to 65535, got "x".'],
  [["serve", "--upstream", "a", "--upstream", "b"], "--upstream: expected a URL"],
  [
    ["serve", "--upstream", "http://a", "--model-alias", "a"],
    "--model-alias: expected ALIAS=MODEL",
  ],
  [["serve", "--limits-lines-per-batch", "0"], "--limits-lines-per-batch: expected a whole number"],
  [["serve", "--config", "/nowhere/offpeak.yaml"], "/nowhere/offpeak.yaml: no such file."],
  [["serve", "--config", "/"], "/: can't be read:"],
])("%j is refused with its place", async (line, message) => {
  const { exitCode, said } = await run(...line);
  expect(exitCode).toBe(2);
  expect(said).toContain(`offpeak: ${message}`);
  expect(said).not.toContain("    at ");
});

test("help of serve shows every flag and how to begin with vLLM, Ollama and llama.cpp", async () => {
  const { exitCode, said } = await run("serve", "--help");
  expect(exitCode).toBe(0);
  for (const part of [
    "--upstream <url>",
    "--model-alias <alias=model>",
    "--port <number>",
    "(default: 8024)",
    "--insecure-no-auth",
    "--limits-lines-per-batch <number>",
    "vllm serve",
    "offpeak serve --upstream http://localhost:8000/v1",
    "ollama serve",
    "llama-server",
  ]) {
    expect(said).toContain(part);
  }
});

test("help names the commands, and the version is that of the package", async () => {
  const help = await run("--help");
  expect(help).toMatchObject({ exitCode: 0, said: expect.stringMatching(/serve[^]*simulate/) });
  expect(await run("--version")).toMatchObject({
    exitCode: 0,
    said: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
  });
});
