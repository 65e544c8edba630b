// A connection to PostgreSQL on which statements run, and what its errors mean: a conflict or a lost
// connection before the commit is tried again by the database, anything else goes to the caller.

import type { CompiledQuery, DatabaseConnection, QueryResult } from "kysely";
import pg from "pg";
import { StorageFullError } from "../../core/store.ts";

/** The transaction was undone because of another one: run again, it may succeed. */
export class TransactionConflictError extends Error {
  override readonly name = "TransactionConflictError";
}

/** The server can't be reached, or it ended the connection. */
export class ConnectionLostError extends Error {
  override readonly name = "ConnectionLostError";
  /** Whether the server may have got the statement. */
  readonly wasSent: boolean;

  constructor(cause: Error) {
    super(cause.message, { cause });
    this.wasSent = !UNSENT.test(cause.message);
  }
}

/** How the driver says that the connection had broken before. */
const UNSENT = /not queryable/;
const CONFLICTS = ["40001", "40P01", "55P03"];
const DISK_FULL = "53100";
/**
 * Connection exceptions, too many connections, a server that shuts down, starts or is read-only for a while (a
 * failover), and a transaction that idled because this process was suspended.
 */
const LOST = /^(?:08...|53300|57P0[1-5]|25P0[345]|25006)$/;

export class PostgresConnection implements DatabaseConnection {
  readonly #client: pg.ClientBase;

  constructor(client: pg.ClientBase) {
    this.#client = client;
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    try {
      const { command, rowCount, rows } = await this.#client.query(sql, parameters.map(storable));
      const changes = command === "INSERT" || command === "UPDATE" || command === "DELETE";
      return {
        rows: rows as R[],
        ...(changes && { numAffectedRows: BigInt(rowCount ?? 0) }),
      };
    } catch (error) {
      throw translated(error);
    }
  }

  /** Runs statements that have neither values nor rows; answers the command that was carried out last. */
  async run(commands: string): Promise<string> {
    try {
      const result = await this.#client.query(commands);
      return [result].flat().at(-1)?.command ?? "";
    } catch (error) {
      throw translated(error);
    }
  }

  streamQuery(): never {
    throw new Error("Rows are not streamed from PostgreSQL: read them in pages.");
  }
}

/** PostgreSQL's text has no NUL. */
function storable(parameter: unknown): unknown {
  return typeof parameter === "string" ? withoutNul(parameter) : parameter;
}

/** U+FFFD stands for what PostgreSQL cannot hold. */
export function withoutNul(text: string): string {
  return text.includes("\0") ? text.replaceAll("\0", "\uFFFD") : text;
}

/** What the caller makes of an error of the driver. */
export function translated(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError)) {
    return new ConnectionLostError(error as Error);
  }
  const { code = "" } = error;
  if (CONFLICTS.includes(code))
    return new TransactionConflictError(error.message, { cause: error });
  if (LOST.test(code)) return new ConnectionLostError(error);
  if (code === DISK_FULL) {
    return new StorageFullError("There is no disk space left for the database.", { cause: error });
  }
  return error;
}
