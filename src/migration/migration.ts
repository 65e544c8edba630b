// Moves all data from one pair of Store and BlobStore to another, empty one. The source is only read. A move that
// was cut off goes on where it was; until everything has been compared the target's Store cannot be opened.
//
// The caller keeps both to itself as far as it can; that nothing has changed the source is seen by what it holds
// before and after.

import { type BlobStore, blobKeys } from "../core/blob-store.ts";
import type { MigrationProgress } from "../core/migration-progress.ts";
import type { RowStore } from "../core/row-store.ts";
import type { Store } from "../core/store.ts";
import { signingSecrets } from "../core/webhook.ts";
import { copyBlobs } from "./blob-copy.ts";
import { ProgressTracker, type Report } from "./progress-tracker.ts";
import { type CopyPosition, copyRows, firstPosition } from "./row-copy.ts";
import { type Digests, differing, digestRows } from "./row-digest.ts";

export interface MigrationEnd {
  /** For messages, such as "the data directory ./offpeak-data". */
  name: string;
  rows: RowStore;
  blobs: BlobStore;
  store: Pick<Store, "nodes" | "webhooks">;
}

export interface MigrationOptions {
  source: MigrationEnd;
  target: MigrationEnd;
  now: number;
  /** Opens a sealed secret as the target's nodes will. Throws when they could not. */
  unseal: (sealed: string) => void;
  report: Report;
}

export interface MigrationResult extends Readonly<MigrationProgress> {
  /** Rows in which U+FFFD stands for a NUL. */
  substitutedRows: number;
  /** An earlier attempt had been cut off. */
  wentOn: boolean;
}

/** The migration is not begun, or does not go on; nothing was changed. */
class MigrationRefusedError extends Error {
  override readonly name = "MigrationRefusedError";
}

/** Something was not copied as it should be: the migration is not finished. */
class MigrationFailedError extends Error {
  override readonly name = "MigrationFailedError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[], advice: string) {
    const shown = problems.slice(0, PROBLEMS_SHOWN).map((problem) => `\n  ${problem}`);
    const more = problems.length > PROBLEMS_SHOWN ? "\n  …" : "";
    const count = `${problems.length} problem${problems.length === 1 ? "" : "s"}`;
    super(`the migration is not finished: ${count}.${shown.join("")}${more}\n${advice}`);
    this.problems = problems;
  }
}

const PROBLEMS_SHOWN = 50;

/** Throws MigrationRefusedError, MigrationFailedError, or what the stores throw. */
export async function migrateData(options: MigrationOptions): Promise<MigrationResult> {
  const { source, target } = options;
  const progress = new ProgressTracker(options.report);
  await refuseNodes(source);
  await refuseNodes(target);
  if (await source.rows.note()) {
    throw new MigrationRefusedError(
      `${source.name} holds a part of what another migration was to move there. Finish that one first.`,
    );
  }
  await checkSecrets(options);

  const total = await countRows(source.rows);
  const digest = (rows: RowStore) =>
    digestRows(rows, (table, count) => progress.addRows(table, count));
  progress.begin("reading the source", total);
  const before = await digest(source.rows);
  const begun = await begin(options, before);

  progress.begin("copying rows", total);
  await copyRows(source.rows, target.rows, begun.position, (table, count) =>
    progress.addRows(table, count),
  );
  progress.begin("copying blobs");
  const problems = await copyBlobs({
    rows: source.rows,
    source: source.blobs,
    target: target.blobs,
    now: options.now,
    goesOn: begun.wentOn,
    progress,
  });
  if (problems.length > 0) {
    throw new MigrationFailedError(
      problems,
      `Restore what is damaged, and run the same again; or start a server on ${source.name}, delete these files, ` +
        `empty ${target.name}, and migrate again.`,
    );
  }

  progress.begin("comparing", 2 * total);
  const copied = differing(before, await digest(target.rows));
  const changed = differing(before, await digest(source.rows));
  if (copied.length + changed.length > 0) {
    throw new MigrationFailedError(
      [
        ...copied.map((table) => `the table ${table} is not the same in ${target.name}`),
        ...changed.map((table) => `the table ${table} was changed in ${source.name} meanwhile`),
      ],
      `Stop whatever else uses the two, empty ${target.name}, and migrate again.`,
    );
  }
  await refuseNodes(source);
  await refuseNodes(target);
  await target.rows.finish();
  return {
    ...progress.now,
    rows: total,
    rowsTotal: total,
    substitutedRows: sumOf(before, ({ substituted }) => substituted),
    wentOn: begun.wentOn,
  };
}

async function refuseNodes({ store, name }: MigrationEnd): Promise<void> {
  const living = await store.nodes.living();
  if (living.length === 0) return;
  const ids = living.map(({ id }) => id).join(", ");
  const nodes =
    living.length === 1 ? `1 node (${ids}) runs` : `${living.length} nodes (${ids}) run`;
  throw new MigrationRefusedError(
    `${nodes} on ${name}. Stop all nodes first; a node that has crashed counts for half a minute.`,
  );
}

/** Refuses when secrets of the source could not be opened where they are moved to. */
async function checkSecrets({ source, unseal, now }: MigrationOptions): Promise<void> {
  const sealed: string[] = [];
  for (const webhook of await source.store.webhooks.list()) {
    try {
      signingSecrets(webhook, now).forEach(unseal);
    } catch {
      sealed.push(webhook.id);
    }
  }
  if (sealed.length === 0) return;
  throw new MigrationRefusedError(
    `the secret_key that is set does not open the secrets of these webhooks in ${source.name}: ${sealed.join(", ")}. ` +
      "Set OFFPEAK_SECRET_KEY to the key with which they were made: for a data directory what its file secret.key " +
      "holds, unless the server was given another one; or delete these webhooks there.",
  );
}

async function begin(
  { source, target }: MigrationOptions,
  before: Digests,
): Promise<{ position: CopyPosition; wentOn: boolean }> {
  const words = JSON.stringify([...before].map(([table, { rows, sum }]) => [table, rows, sum]));
  const note = await target.rows.note();
  if (note === undefined) {
    await requireEmpty(target);
    const position = firstPosition(source.rows);
    await target.rows.begin({ source: words, progress: JSON.stringify(position) });
    return { position, wentOn: false };
  }
  if (note.source !== words) {
    throw new MigrationRefusedError(
      `${target.name} holds a part of other data: a migration into it was begun from somewhere else, or what it was ` +
        `begun from has changed since. Empty its database and its blobs, and migrate again.`,
    );
  }
  return { position: JSON.parse(note.progress) as CopyPosition, wentOn: true };
}

/** Of its rows the database itself sees to the rest. */
async function requireEmpty({ rows, blobs, name }: MigrationEnd): Promise<void> {
  const batches = await rows.count("batches");
  if (batches > 0) {
    throw new MigrationRefusedError(
      `${name} has ${batches} batches already. Name an empty place, or empty this one.`,
    );
  }
  for (const prefix of [blobKeys.files, blobKeys.uploads, blobKeys.batches]) {
    for await (const { key } of blobs.list(prefix)) {
      throw new MigrationRefusedError(
        `${name} has blobs already, among them ${key}. Name an empty place, or empty this one.`,
      );
    }
  }
}

async function countRows(rows: RowStore): Promise<number> {
  let total = 0;
  for (const table of rows.tables) total += await rows.count(table);
  return total;
}

function sumOf(digests: Digests, figure: (digest: { substituted: number }) => number): number {
  return [...digests.values()].reduce((sum, digest) => sum + figure(digest), 0);
}
