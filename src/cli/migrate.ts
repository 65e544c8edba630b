// `offpeak migrate`: moves all data of a server from its data directory to the database and the bucket that nodes
// share, or back. It tells to stderr how far it is, and in the end what to do next; refusals are one message
// without a stack: exit code 2 for a wrong setting, 1 for anything else.
import { Command, Option } from "commander";
import { ConfigError } from "../config/config-error.ts";
import { loadConfig } from "../config/config.ts";
import { settings } from "../config/settings.ts";
import type { Migration, MigrationTarget } from "../main.ts";
import { addDataOptions, flagsOf, optionOf, readFile } from "./flags.ts";
import { ProgressDisplay, size } from "./progress-display.ts";

const EXPLANATION = `
Stop the server and all nodes first. One configuration names both places: --data-dir is the data directory, and
--database-url with --blob-url is what nodes share; --to says which of them gets the data. It must be empty. The
other one is only read, and stays as it is. When it is cut off, run it again: it goes on where it was.

Examples:
  to several nodes   $ offpeak migrate --to shared --data-dir ./offpeak-data --blob-url s3://my-bucket/offpeak
  back to one        $ offpeak migrate --to data-dir --data-dir ./new-data --blob-url s3://my-bucket/offpeak

OFFPEAK_DATABASE_URL is the database, and OFFPEAK_SECRET_KEY the key that encrypts the secrets in it: from a data
directory take what its file secret.key holds.`;

const STORAGE_TROUBLE = /^Storage(?:Unavailable|Full)Error$/;
const GO_ON = "Run the same command again when that is over: it goes on where it was.";

/** The subcommand, to be added to the program. */
export function migrateCommand(): Command {
  const command = addDataOptions(
    new Command("migrate").description(
      "move all data between a data directory and the database and bucket that nodes share",
    ),
  ).addOption(
    new Option("--to <place>", "where the data is to be")
      .choices(["shared", "data-dir"])
      .makeOptionMandatory(),
  );
  const { blobUrl, s3Endpoint, s3Region, s3PathStyle, s3Encryption, s3KmsKeyId } = settings;
  for (const setting of [blobUrl, s3Endpoint, s3Region, s3PathStyle, s3Encryption, s3KmsKeyId]) {
    command.addOption(optionOf(setting));
  }
  return command.addHelpText("after", EXPLANATION).action(() => migrateData(command));
}

async function migrateData(command: Command): Promise<void> {
  const { "--to": to, ...flags } = flagsOf(command);
  const display = new ProgressDisplay(process.stderr);
  try {
    const config = loadConfig({ flags, env: process.env, readFile, upstreamsOptional: true });
    // Loaded here, because help and errors do not need it.
    const { migrate } = await import("../main.ts");
    const startedAt = performance.now();
    display.start();
    const migration = await migrate(config, to as MigrationTarget, (progress) =>
      display.show(progress),
    );
    display.stop();
    console.error(summary(migration, (performance.now() - startedAt) / 1_000));
  } catch (error) {
    display.stop();
    const { name, message } = error as Error;
    if (error instanceof ConfigError) command.error(`offpeak: ${message}`);
    console.error(`offpeak: ${message}${STORAGE_TROUBLE.test(name) ? ` ${GO_ON}` : ""}`);
    process.exitCode = 1;
  }
}

function summary(migration: Migration, seconds: number): string {
  const { source, target, rowsTotal, blobs, bytes, substitutedRows, secretKey } = migration;
  const lines = [
    `Moved ${rowsTotal.toLocaleString("en")} rows and ${blobs.toLocaleString("en")} blobs (${size(bytes)}) from ${source} ` +
      `to ${target} in ${Math.ceil(seconds)} s. All of it was read back from there, and is the same.`,
    `${capitalized(source)} is as it was. Keep it until you have seen ${target} at work, and start nothing on it meanwhile.`,
  ];
  if (substitutedRows > 0) {
    lines.push(
      `${substitutedRows.toLocaleString("en")} rows had the character NUL, which PostgreSQL cannot hold: U+FFFD stands for it.`,
    );
  }
  lines.push(
    secretKey === "kept"
      ? "The secret key is in the data directory's file secret.key: OFFPEAK_SECRET_KEY need not be set any more."
      : secretKey === null
        ? "Start all nodes with the OFFPEAK_SECRET_KEY that was set here: it opens the secrets of all webhooks."
        : `Start the server with the OFFPEAK_SECRET_KEY that was set here: the data directory's file secret.key ${
            secretKey === "other" ? "holds another key" : "cannot hold a key of this form"
          }.`,
  );
  return lines.join("\n");
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
