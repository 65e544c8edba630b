// `npm run demo`: Offpeak from start to end on this machine alone, driven by the official `openai` SDK. It
// promises to leave nothing behind, however it ends: no process, no directory. Exit code 0 only when
// everything that it claims was so.

import { constants } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import OpenAI from "openai";
import { EMBEDDING_MODEL } from "./embedding-request.ts";
import { runEmbeddingsPart } from "./embeddings-part.ts";
import { runKillPart } from "./kill-part.ts";
import { Stage } from "./stage.ts";
import { Terminal } from "./terminal.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const TIMEOUT_MS = 120_000;

const NEXT_STEPS = `\
  vLLM        vllm serve meta-llama/Llama-3.1-8B-Instruct
              npm run offpeak -- serve --upstream http://localhost:8000/v1
  Ollama      npm run offpeak -- serve --upstream http://localhost:11434/v1
  llama.cpp   llama-server -m model.gguf --port 8080
              npm run offpeak -- serve --upstream http://localhost:8080/v1

  Then change one line of your program; any API key will do:

              new OpenAI({ baseURL: "http://127.0.0.1:8024/v1", apiKey: "any" })

  For input files written for OpenAI's models add --model-alias gpt-4o-mini=YOUR-MODEL.`;

class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: NodeJS.Signals) {
    super(`Stopped by ${signal}.`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

async function tell(terminal: Terminal, stage: Stage): Promise<void> {
  terminal.line(
    terminal.styled("bold", "Offpeak: the OpenAI Batch API for models you run yourself"),
  );
  terminal.line();
  const embeddings = await stage.startEmbeddings();
  terminal.step("real model", `${embeddings.baseUrl}  ${EMBEDDING_MODEL}, for embeddings`);
  const simulator = await stage.startSimulator();
  terminal.step("simulator", `${simulator.baseUrl}  stands in for a chat model`);
  const server = await stage.startServer([embeddings.baseUrl, simulator.baseUrl]);
  const baseURL = `${server.url}/v1`;
  terminal.step("offpeak serve", `${baseURL}  in front of both; process ${server.pid}`);
  terminal.step("your program", `new OpenAI({ baseURL: "${baseURL}" })  the official SDK`);

  const client = new OpenAI({ baseURL, apiKey: "any" });
  await runEmbeddingsPart(client, terminal, stage.directory);
  await runKillPart({ client, terminal, server, simulator, stage });
}

/** Rejects when the demo is told to stop, can't print any more, or takes so long that something must be wrong. */
function interruption(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  for (const signal of SIGNALS) process.on(signal, () => reject(new Interrupted(signal)));
  // A reader of the output that has gone away comes as one of these too.
  process.on("uncaughtException", reject);
  void delay(TIMEOUT_MS, undefined, { ref: false }).then(() =>
    reject(new Error(`The demo did not end within ${TIMEOUT_MS / 1000} s.`)),
  );
  return promise;
}

async function perform(terminal: Terminal): Promise<void> {
  await using stage = new Stage();
  try {
    await Promise.race([tell(terminal, stage), interruption()]);
  } catch (error) {
    terminal.end();
    const { message } = error as Error;
    if (error instanceof Interrupted) console.error(`\n${message}`);
    else {
      console.error(`\nThe demo failed: ${message}`);
      console.error(`\nThe last lines of the server's log:\n${stage.logTail()}`);
    }
    throw error;
  }
}

async function main(): Promise<number> {
  const startedAt = performance.now();
  const terminal = new Terminal(process.stdout);
  try {
    await perform(terminal);
  } catch (error) {
    return error instanceof Interrupted ? error.exitCode : 1;
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  terminal.heading(`Done in ${seconds} s; nothing is left running. Next: your own model`);
  terminal.line(NEXT_STEPS);
  return 0;
}

process.exit(await main());
