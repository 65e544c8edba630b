// Batches and their shards by the thousands, written with SQL that SQLite and PostgreSQL read alike: as planned and
// run by nodes, though no file of them exists.

import { DatabaseSync } from "node:sqlite";
import type { PostgresServer } from "../test/support/postgres-server.ts";

const SHARD_LINES = 1_000;

/** Runs statements that have no values. */
export type Execute = (statements: string) => void | Promise<unknown>;

export interface OpenBatches {
  batches: number;
  /** Free ones, of each batch. */
  shards: number;
  model: string;
}

export interface EndedBatches {
  batches: number;
  model: string;
}

const DAY_MS = 86_400_000;
/** Of ended batches, so many belong to one run, and a tenth to each team. */
const BATCHES_OF_RUN = 10;

export function executeOnFile(file: string): Execute {
  return (statements) => {
    using database = new DatabaseSync(file);
    database.exec("pragma busy_timeout = 10000");
    database.exec(statements);
  };
}

export function executeOnPostgres(server: PostgresServer, database: string): Execute {
  return (statements) => server.execute(statements, database);
}

/** The numbers from 1 on, as the table `name`. */
function numbers(name: string, count: number): string {
  return `${name}(i) as (select 1 union all select i + 1 from ${name} where i < ${count})`;
}

export const openBatchId = (index: number) => `batch_open${index}`;
export const endedBatchId = (index: number) => `batch_ended${index}`;

/** Batches in progress, numbered from 1. */
export async function insertOpen(execute: Execute, of: OpenBatches): Promise<void> {
  const { batches, shards, model } = of;
  const now = Date.now();
  const total = shards * SHARD_LINES;
  await execute(`
    with recursive ${numbers("n", batches)}
    insert into batches (id, project_id, endpoint, completion_window, input_file_id, status, model,
      created_at, in_progress_at, expires_at, total, plan_key, open_shards)
    select 'batch_open' || cast(i as text), 'default', '/v1/chat/completions', '24h', 'file-none', 'in_progress',
      '${model}', ${now} + i, ${now} + i, ${now + DAY_MS} + i, ${total}, 'plans/none', ${shards} from n`);
  await execute(`
    insert into batch_models (batch_id, model)
    select id, '${model}' from batches where status = 'in_progress'`);
  await execute(`
    with recursive ${numbers("s", shards)}
    insert into shards (id, batch_id, project_id, model, requested_model, first_entry, entry_count)
    select cast(seq as text) || '-' || cast(i as text), id, project_id, '${model}', '${model}',
      (i - 1) * ${SHARD_LINES}, ${SHARD_LINES}
    from batches cross join s where status = 'in_progress'`);
  await countAgain(execute);
}

/** A batch in `finalizing`, all of whose shards are done. */
export async function insertSettled(execute: Execute, shards: number): Promise<void> {
  const now = Date.now();
  await execute(`
    insert into batches (id, project_id, endpoint, completion_window, input_file_id, status, ending,
      created_at, expires_at, plan_key)
    values ('batch_settled', 'default', '/v1/chat/completions', '24h', 'file-none', 'finalizing', 'completed',
      ${now}, ${now + DAY_MS}, 'plans/none')`);
  await execute(`
    with recursive ${numbers("s", shards)}
    insert into shards (id, batch_id, project_id, model, requested_model, first_entry, entry_count, done)
    select 'settled-' || cast(i as text), 'batch_settled', 'default', 'bench', 'bench',
      (i - 1) * ${SHARD_LINES}, ${SHARD_LINES}, 1 from s`);
  await countAgain(execute);
}

/** A batch in `validating`. */
export async function insertUnplanned(execute: Execute): Promise<void> {
  const now = Date.now();
  await execute(`
    insert into batches (id, project_id, endpoint, completion_window, input_file_id, status, created_at, expires_at)
    values ('batch_new', 'default', '/v1/chat/completions', '24h', 'file-none', 'validating', ${now}, ${now + DAY_MS})`);
  await countAgain(execute);
}

/** Completed batches, numbered from 1, with metadata: the run ("run-0", …, ten batches each) and the team ("team-0" to "team-9"). */
export async function insertEnded(
  execute: Execute,
  { batches, model }: EndedBatches,
): Promise<void> {
  const now = Date.now() - DAY_MS;
  const run = `'run-' || cast((i - 1) / ${BATCHES_OF_RUN} as text)`;
  const team = "'team-' || cast(i % 10 as text)";
  await execute(`
    with recursive ${numbers("n", batches)}
    insert into batches (id, project_id, endpoint, completion_window, input_file_id, status, ending, swept, model,
      metadata, output_file_id, created_at, in_progress_at, expires_at, finalizing_at, completed_at, total, completed,
      input_tokens, output_tokens, total_tokens, plan_key)
    select 'batch_ended' || cast(i as text), 'default', '/v1/chat/completions', '24h',
      'file-input' || cast(i as text), 'completed', 'completed', 1, '${model}',
      '{"run":"' || ${run} || '","team":"' || ${team} || '"}', 'file-output' || cast(i as text),
      ${now} + i, ${now} + i, ${now + DAY_MS} + i, ${now} + i, ${now} + i, 1000, 1000, 200000, 100000, 300000,
      'plans/none' from n`);
  for (const [key, value] of [
    ["run", run],
    ["team", team],
  ] as const) {
    // The number of a batch is the end of its id.
    await execute(`
      insert into batch_metadata (project_id, key, value, batch_seq)
      select project_id, '${key}', ${value}, seq from (
        select project_id, seq, cast(substr(id, 12) as integer) as i from batches where status = 'completed'
      ) as ended`);
  }
  await execute(`
    insert into batch_model_names (project_id, model, batch_seq, requested)
    select project_id, model, seq, 1 from batches where status = 'completed'`);
  await countAgain(execute);
}

async function countAgain(execute: Execute): Promise<void> {
  await execute(`update batch_counts set batches =
    (select count(*) from batches where batches.status = batch_counts.status)`);
}
