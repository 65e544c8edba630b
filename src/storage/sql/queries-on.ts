// Kysely on a connection that is already there: no pool of its own, nothing to be asked for.

import { DefaultQueryExecutor, DummyDriver, Kysely } from "kysely";
import type { DatabaseConnection, Dialect, DialectAdapter, QueryCompiler } from "kysely";
import type { Tables } from "./schema.ts";
import type { Tx } from "./sql-database.ts";

/** How a database spells queries. */
export interface Spelling {
  adapter: DialectAdapter;
  compiler: QueryCompiler;
}

export function queriesOn({ adapter, compiler }: Spelling, connection: DatabaseConnection): Tx {
  const driver = new DummyDriver();
  const dialect: Dialect = {
    createAdapter: () => adapter,
    createDriver: () => driver,
    createIntrospector: () => {
      throw new Error("The tables are known: nothing is to be found out about them.");
    },
    createQueryCompiler: () => compiler,
  };
  const executor = new DefaultQueryExecutor(compiler, adapter, {
    provideConnection: (consumer) => consumer(connection),
  });
  return new Kysely<Tables>({ config: { dialect }, dialect, driver, executor });
}
