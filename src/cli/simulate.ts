// `offpeak simulate`: runs the simulated inference server in the foreground until it is told to stop.
// Exit codes: 0 after SIGINT or SIGTERM, 1 where the address cannot be had, 2 for a wrong flag.
import { Command, InvalidArgumentError, Option } from "commander";
import {
  FAILURE_KINDS,
  type FailureKind,
  type NumberOption,
  type SimulatorOptions,
  checkedFailureKinds,
  checkedNumber,
} from "../simulator/options.ts";
import { Simulator } from "../simulator/simulator.ts";

const DEFAULT_PORT = 8_000;

const EXAMPLES = `
Examples:
  $ offpeak simulate
      answers at once, on http://127.0.0.1:${DEFAULT_PORT}/v1
  $ offpeak simulate --time-to-first-token 200 --inter-token-latency 20 --max-num-seqs 32
      the pace of a small GPU: 32 requests at a time, 0.5 s each, the others queue
  $ offpeak simulate --failure-rate 0.1 --failure-kinds 429,503,cut --seed 7
      one request in ten fails, the same ones in every run

A prompt may ask for its own failure: [simulate: 500] in its text, or 400 to 599, hang, cut, garbage, drip
or crash in place of 500; [simulate: 500 x2] fails only the first two times the prompt is sent.
[simulate: failed] in the prompt of a video makes a job that ends as failed.

While it runs:
  GET  /simulator/stats     counts, peaks, answers by status
  GET  /simulator/prompts   how often each prompt was sent, as JSON Lines
  POST /simulator/reset     forget all counts
  POST /simulator/mode      {"mode": "503", "for_ms": 5000}; also ok, refuse, 401, 429, 500, hang`;

type Flags = SimulatorOptions & {
  model?: string[];
  timeToFirstToken?: number;
  interTokenLatency?: number;
  timeToVideo?: number;
};

/** The subcommand, to be added to the program. */
export function simulateCommand(): Command {
  return new Command("simulate")
    .description("run an OpenAI-compatible inference server without a model, for tests and demos")
    .addOption(numberFlag("--port <number>", "port to listen on", "port").default(DEFAULT_PORT))
    .addOption(
      new Option("--host <address>", "address to listen on")
        .argParser(nonEmpty)
        .default("127.0.0.1"),
    )
    .option(
      "--model <name>",
      "model to serve; may be repeated (default: simulated-model)",
      appended,
    )
    .addOption(
      numberFlag("--time-to-first-token <ms>", "latency of every answer", "timeToFirstTokenMs"),
    )
    .addOption(
      numberFlag(
        "--inter-token-latency <ms>",
        "latency of each token but the first",
        "interTokenLatencyMs",
      ),
    )
    .addOption(
      numberFlag(
        "--output-tokens <n>",
        "tokens of an answer whose request sets no lower limit (default: 16)",
        "outputTokens",
      ),
    )
    .addOption(
      numberFlag(
        "--image-bytes <n>",
        "size of each image made, before base64 (default: 1000)",
        "imageBytes",
      ),
    )
    .addOption(
      numberFlag("--time-to-video <ms>", "from asking for a video to its end", "timeToVideoMs"),
    )
    .addOption(
      numberFlag(
        "--max-num-seqs <n>",
        "requests that run at once; the others queue (default: all)",
        "maxNumSeqs",
      ),
    )
    .addOption(
      numberFlag(
        "--max-queue <n>",
        "requests that may queue, then 429 (default: 10000)",
        "maxQueue",
      ),
    )
    .addOption(
      numberFlag("--failure-rate <share>", "share of requests that fail, 0 to 1", "failureRate"),
    )
    .option(
      "--failure-kinds <list>",
      `how they fail: some of ${FAILURE_KINDS.join(",")} (default: 429,500,503)`,
      parseFailureKinds,
    )
    .addOption(numberFlag("--seed <number>", "chooses which requests fail (default: 0)", "seed"))
    .option("--api-key <key>", "answer requests without this key with 401", nonEmpty)
    .allowExcessArguments(false)
    .addHelpText("after", EXAMPLES)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .action(runSimulator);
}

async function runSimulator(flags: Flags): Promise<void> {
  const { model, timeToFirstToken, interTokenLatency, timeToVideo, ...same } = flags;
  const simulator = new Simulator({
    ...same,
    ...(model && { models: model }),
    ...(timeToFirstToken !== undefined && { timeToFirstTokenMs: timeToFirstToken }),
    ...(interTokenLatency !== undefined && { interTokenLatencyMs: interTokenLatency }),
    ...(timeToVideo !== undefined && { timeToVideoMs: timeToVideo }),
  });
  const stop = () => void simulator.stop();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    const { baseUrl } = await simulator.start();
    process.stdout.write(startMessage(baseUrl, simulator));
  } catch (error) {
    process.stderr.write(`error: ${cannotListen(error as NodeJS.ErrnoException, simulator)}\n`);
    process.exitCode = 1;
  }
}

function startMessage(baseUrl: string, { settings }: Simulator): string {
  const key = settings.apiKey === undefined ? "" : `Requests need the key given with --api-key.\n`;
  return (
    `Simulated inference server on ${baseUrl} (model: ${settings.models.join(", ")})\n${key}` +
    `Use it with Offpeak:\n\n  offpeak serve --upstream ${baseUrl}\n\nStop it with Ctrl-C.\n`
  );
}

function cannotListen(error: NodeJS.ErrnoException, { settings }: Simulator): string {
  const { host, port } = settings;
  switch (error.code) {
    case "EADDRINUSE":
      return (
        `port ${port} on ${host} is taken by another process. ` +
        `Choose another one with --port (0 takes any free port), or stop that process.`
      );
    case "EACCES":
      return `this user may not listen on port ${port}. Choose a port above 1023 with --port.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `${host} is no address of this machine. Choose one with --host, such as 127.0.0.1.`;
    default:
      return `cannot listen on ${host}, port ${port}: ${error.message}`;
  }
}

function numberFlag(flags: string, description: string, rule: NumberOption): Option {
  return new Option(flags, description).argParser((text) =>
    explained(() => checkedNumber(rule, text)),
  );
}

function parseFailureKinds(text: string): FailureKind[] {
  return explained(() => checkedFailureKinds(text.split(",").map((kind) => kind.trim())));
}

function appended(name: string, names: string[] = []): string[] {
  return [...names, nonEmpty(name)];
}

function nonEmpty(text: string): string {
  if (text === "") throw new InvalidArgumentError("expected a value, got an empty one");
  return text;
}

/** The value of a check; where the check fails, the command line's own error with the same message. */
function explained<Value>(check: () => Value): Value {
  try {
    return check();
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
