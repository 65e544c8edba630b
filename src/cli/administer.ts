// `offpeak keys` and `offpeak webhooks`: what an administrator does where the data is, whether a server runs on
// it or not. What is made is printed to stdout, secrets among it; everything else goes to stderr.
import { Command, InvalidArgumentError, Option } from "commander";
import { ConfigError } from "../config/config-error.ts";
import { loadConfig } from "../config/config.ts";
import { settings } from "../config/settings.ts";
import { type Webhook, type WebhookDelivery, webhookEventTypes } from "../core/webhook.ts";
import type { Administration } from "../main.ts";
import { addDataOptions, flagsOf, optionOf, readFile } from "./flags.ts";

/** What changes with the first key. */
const FIRST_KEY =
  "This is the first API key: from now on requests without a key are refused. Files and batches made before " +
  "belong to the project 'default'; a key of that project opens them.";

type Cells = readonly (string | number)[];

/** The subcommand, to be added to the program. */
export function keysCommand(): Command {
  const keys = new Command("keys").description(
    "make, list and revoke API keys; from the first one on the server takes nobody without",
  );
  keys
    .addCommand(
      administrative(
        "create",
        "make an API key; it is shown this once",
        async (command, { keys: made }) => {
          const { project } = command.opts<{ project: string }>();
          const isFirst = await made.isOpen();
          const { apiKey, key } = await made.create(project);
          if (isFirst) console.error(FIRST_KEY);
          console.error(
            `${apiKey.id}: an API key of the project ${project}. It is not shown again:`,
          );
          console.log(key);
        },
      ).requiredOption("--project <name>", "whose files and batches the key opens"),
    )
    .addCommand(
      administrative("list", "list all API keys", async (_command, administration) => {
        const rows = (await administration.keys.list()).map((key) => [
          key.id,
          key.projectId,
          time(key.createdAt),
          time(key.lastUsedAt),
          key.revokedAt === null ? "active" : `revoked ${time(key.revokedAt)}`,
        ]);
        printTable(["ID", "PROJECT", "CREATED", "LAST USED", "STATE"], rows);
      }),
    )
    .addCommand(
      administrative("revoke", "refuse a key from now on", async (command, administration) => {
        const [id = ""] = command.args;
        await administration.keys.revoke(id);
        console.error(`${id} is revoked.`);
      }).argument("<id>", "the key's id, from `offpeak keys list`"),
    );
  return keys;
}

/** The subcommand, to be added to the program. */
export function webhooksCommand(): Command {
  const webhooks = new Command("webhooks").description(
    "tell other programs when a batch has ended, as OpenAI's webhooks do",
  );
  const id = "the webhook's id, from `offpeak webhooks list`";
  webhooks
    .addCommand(
      administrative(
        "create",
        "make a webhook; its signing secret is shown this once",
        createWebhook,
      )
        .requiredOption("--project <name>", "of which project's batches it hears")
        .requiredOption("--url <url>", "where the events are sent")
        .addOption(
          new Option(
            "--event <type>",
            "an event it gets, all by default; may be repeated",
          ).argParser(repeated),
        )
        .addOption(optionOf(settings.allowPrivateAddresses)),
    )
    .addCommand(
      administrative("list", "list all webhooks", async (_command, administration) => {
        const rows = (await administration.webhooks.list()).map((webhook) => [
          webhook.id,
          webhook.projectId,
          webhook.url,
          events(webhook),
          time(webhook.createdAt),
        ]);
        printTable(["ID", "PROJECT", "URL", "EVENTS", "CREATED"], rows);
      }),
    )
    .addCommand(
      administrative(
        "deliveries",
        "what was sent, the newest first",
        async (command, administration) => {
          const rows = (await administration.webhooks.deliveries(command.args[0] ?? "")).map(
            (delivery) => [
              delivery.id,
              delivery.eventType,
              delivery.objectId,
              delivery.attempts,
              outcome(delivery),
            ],
          );
          printTable(["ID", "EVENT", "ABOUT", "ATTEMPTS", "OUTCOME"], rows);
        },
      ).argument("<id>", id),
    )
    .addCommand(
      administrative(
        "test",
        "send a sample event now, and tell what the receiver answers",
        testWebhook,
      )
        .argument("<id>", id)
        .addOption(optionOf(settings.allowPrivateAddresses)),
    )
    .addCommand(
      administrative(
        "delete",
        "end a webhook, and what it still was to get",
        async (command, administration) => {
          const [given = ""] = command.args;
          await administration.webhooks.delete(given);
          console.error(`${given} is deleted.`);
        },
      ).argument("<id>", id),
    );
  return webhooks;
}

async function createWebhook(command: Command, { webhooks }: Administration): Promise<void> {
  const { project, url, event } = command.opts<{
    project: string;
    url: string;
    event?: string[];
  }>();
  const { webhook, secret } = await webhooks.create({ projectId: project, url, events: event });
  console.error(`${webhook.id}: ${events(webhook)} of the project ${project} go to ${url}.`);
  if (command.getOptionValue("allowPrivateAddresses") === true) {
    console.error("The server must be started with --allow-private-addresses, too.");
  }
  console.error("Its signing secret (OPENAI_WEBHOOK_SECRET for the SDKs) is not shown again:");
  console.log(secret);
}

async function testWebhook(command: Command, { webhooks }: Administration): Promise<void> {
  const status = await webhooks.sendSample(command.args[0] ?? "", "batch.completed");
  if (status < 200 || status > 299) throw new Error(`the receiver answered ${status}, not 2xx.`);
  console.error(`The receiver answered ${status}.`);
}

/** A command that works on the data of a server. Refusals are one line, without a stack. */
function administrative(
  name: string,
  description: string,
  work: (command: Command, administration: Administration) => Promise<void>,
): Command {
  const command = addDataOptions(new Command(name).description(description));
  return command.action(async () => {
    try {
      const flags = flagsOf(command);
      const config = loadConfig({ flags, env: process.env, readFile, upstreamsOptional: true });
      // Loaded here, because help and errors do not need it.
      const { openAdministration } = await import("../main.ts");
      await using administration = await openAdministration(config);
      await work(command, administration);
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof ConfigError) command.error(`offpeak: ${message}`);
      console.error(`offpeak: ${message}`);
      process.exitCode = 1;
    }
  });
}

function repeated(value: string, earlier: string[] | undefined): string[] {
  if (!webhookEventTypes.includes(value)) {
    throw new InvalidArgumentError(`Expected one of ${webhookEventTypes.join(", ")}.`);
  }
  return [...(earlier ?? []), value];
}

function events(webhook: Webhook): string {
  return webhook.events.length === webhookEventTypes.length
    ? "all events"
    : webhook.events.join(", ");
}

function outcome({ deliveredAt, nextAttemptAt, lastError }: WebhookDelivery): string {
  if (deliveredAt !== null) return `delivered ${time(deliveredAt)}`;
  if (nextAttemptAt === null) return `given up: ${lastError}`;
  return lastError === null ? "to be sent" : `next try ${time(nextAttemptAt)}: ${lastError}`;
}

function time(ms: number | null): string {
  return ms === null ? "never" : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

function printTable(head: Cells, rows: readonly Cells[]): void {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => String(row[column]).length)));
  for (const row of all) {
    console.log(
      row
        .map((cell, column) => String(cell).padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  }
}
