// One PostgreSQL for all suites: started before the first of them, ended after the last. Each test makes a
// database of its own in it.

import type { TestProject } from "vitest/node";
import { PostgresServer } from "../support/postgres-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** URL of its administrative database. */
    postgresUrl: string;
  }
}

let server: PostgresServer | undefined;

export async function setup(project: TestProject): Promise<void> {
  // Nothing of it outlives the run, and hundreds of databases are made.
  server = await PostgresServer.start({
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off" },
  });
  project.provide("postgresUrl", server.url());
}

export async function teardown(): Promise<void> {
  await server?.[Symbol.asyncDispose]();
}
