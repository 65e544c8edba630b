// The command line: its subcommands, and how it refuses what it does not know: exit code 2, with the
// nearest thing it does know.
import { Command, type CommanderError } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { keysCommand, webhooksCommand } from "./administer.ts";
import { migrateCommand } from "./migrate.ts";
import { serveCommand } from "./serve.ts";
import { simulateCommand } from "./simulate.ts";

const USAGE_ERROR = 2;

/** @param exit called with the exit code when parsing ends the program: after help, version, or an error */
export function buildProgram(exit: (code: number) => never): Command {
  const program = new Command("offpeak")
    .description("The OpenAI Batch API for models you run yourself.")
    .version(packageJson.version, "-V, --version")
    .addCommand(serveCommand())
    .addCommand(keysCommand())
    .addCommand(webhooksCommand())
    .addCommand(migrateCommand())
    .addCommand(simulateCommand());
  // commander exits with 1 for wrong usage, which is ours for a failure at work.
  const onExit = ({ exitCode }: CommanderError) => exit(exitCode === 0 ? 0 : USAGE_ERROR);
  for (const command of withSubcommands(program)) {
    command.exitOverride(onExit).showHelpAfterError("Run it with --help to see what it takes.");
  }
  return program;
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)];
}
