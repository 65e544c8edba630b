// `offpeak serve`: reads the configuration, starts the server, and stops it once when told to. What
// goes wrong is one message without a stack: exit code 2 for a wrong setting, 1 for anything else.
import { constants } from "node:os";
import { Command, Option } from "commander";
import { ConfigError } from "../config/config-error.ts";
import { type Config, type ConfigSources, loadConfig } from "../config/config.ts";
import { limitSettings, settings } from "../config/settings.ts";
import { databaseOption, flagsOf, optionOf, readFile } from "./flags.ts";

const EXAMPLES = `
Every flag can also be a variable (--data-dir is OFFPEAK_DATA_DIR) or a key in offpeak.yaml (data_dir);
flags win over variables, and variables over the file. OFFPEAK_UPSTREAM_API_KEY holds the key sent to the
upstreams given by --upstream, OFFPEAK_ADMIN_KEY the one that opens the admin API, and OFFPEAK_SECRET_KEY what
encrypts the secrets in the database.

Examples:
  vLLM        $ vllm serve meta-llama/Llama-3.1-8B-Instruct
              $ offpeak serve --upstream http://localhost:8000/v1
  Ollama      $ ollama serve
              $ offpeak serve --upstream http://localhost:11434/v1 --model-alias gpt-4o-mini=llama3.1
  llama.cpp   $ llama-server -m model.gguf --port 8080
              $ offpeak serve --upstream http://localhost:8080/v1

Then point any OpenAI SDK at http://127.0.0.1:8024/v1; any API key will do, until you make some with
offpeak keys create.`;

/** The subcommand, to be added to the program. */
export function serveCommand(): Command {
  const command = new Command("serve")
    .description("run the Batch API server in front of one or more inference servers")
    .addOption(
      repeatable("--upstream <url>", "an OpenAI-compatible inference server; may be repeated"),
    )
    .addOption(
      repeatable(
        "--model-alias <alias=model>",
        "run files that name ALIAS on MODEL; may be repeated",
      ),
    )
    .addOption(databaseOption())
    .option("--config <file>", "configuration file (default: offpeak.yaml, where there is one)");
  for (const setting of Object.values(settings)) command.addOption(optionOf(setting));
  for (const limit of Object.values(limitSettings)) {
    command.addOption(optionOf(limit).helpGroup("Limits:"));
  }
  return command.addHelpText("after", EXAMPLES).action(async () => {
    await serve(command, flagsOf(command));
  });
}

async function serve(command: Command, flags: ConfigSources["flags"]): Promise<void> {
  let config: Config;
  try {
    config = loadConfig({ flags, env: process.env, readFile });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    command.error(`offpeak: ${error.message}`, { exitCode: 2 });
  }
  // Loaded here, because help and errors do not need a server.
  const { start } = await import("../main.ts");
  const starting = start(config);
  stopOnSignal(starting);
  try {
    const { url } = await starting;
    console.log(`Offpeak listens on ${url}. Base URL for OpenAI SDKs: ${url}/v1`);
  } catch (error) {
    if (error instanceof ConfigError) fail(error.message, 2);
    fail(startFailure(error as NodeJS.ErrnoException, config));
  }
}

/** The first signal stops the server in good order, a second one at once. */
function stopOnSignal(starting: Promise<{ stop(): Promise<void> }>): void {
  let stopping = false;
  const onSignal = (signal: "SIGINT" | "SIGTERM") => {
    if (stopping) process.exit(128 + constants.signals[signal]);
    stopping = true;
    starting
      .then((server) => server.stop())
      .then(
        () => process.exit(0),
        (error: Error) => fail(error.message),
      );
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}

function fail(message: string, exitCode = 1): never {
  console.error(`offpeak: ${message}`);
  process.exit(exitCode);
}

function startFailure({ code, message }: NodeJS.ErrnoException, { host, port }: Config): string {
  switch (code) {
    case "EADDRINUSE":
      return `port ${port} on ${host} is taken, perhaps by another offpeak. Stop that program, or choose another port with --port.`;
    case "EACCES":
      return `not allowed to listen on port ${port} of ${host}. Choose a port above 1023 with --port.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `${host} is not an address of this machine. Choose another one with --host.`;
    default:
      return message;
  }
}

function repeatable(flag: string, description: string): Option {
  return new Option(flag, description).argParser((value, earlier: string[] | undefined) => [
    ...(earlier ?? []),
    value,
  ]);
}
