// Places for a store's tables, in the PostgreSQL that was started for the tests: a schema each, in one database,
// because making a database takes half a second.

import { randomUUID } from "node:crypto";
import pg from "pg";
import { inject, onTestFinished } from "vitest";

/** A place without tables, until the test ends. Answers its URL. */
export async function emptyPostgres(): Promise<string> {
  const { url, drop } = await createPlace();
  onTestFinished(drop);
  return url;
}

/** A place without tables, until it is dropped. */
export async function createPlace(): Promise<{ url: string; drop: () => Promise<void> }> {
  const schema = `test_${randomUUID().replaceAll("-", "")}`;
  await administer(`create schema ${schema}`);
  const url = new URL(inject("postgresUrl"));
  url.searchParams.set("options", `-c search_path=${schema}`);
  return {
    url: url.href,
    drop: async () => {
      await administer(`drop schema ${schema} cascade`);
    },
  };
}

/** Runs a statement as the superuser, in the place of the URL. */
export async function administer(
  statement: string,
  url = inject("postgresUrl"),
): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(statement);
    return rows;
  } finally {
    await client.end();
  }
}
