// Counts and token usage as columns: of shards while they run, of batches once they have ended.

import { sql } from "kysely";
import type { Usage } from "../../core/usage.ts";
import type { UsageColumns } from "./schema.ts";
import { ofElement } from "./sql-database.ts";

/** The columns that are summed over the shards of a batch. */
const figureColumns = [
  "completed",
  "failed",
  "input_tokens",
  "output_tokens",
  "total_tokens",
  "cached_tokens",
  "reasoning_tokens",
] as const;

export type FigureColumn = (typeof figureColumns)[number];
export type Figures = Record<FigureColumn, number>;

/** Figures as columns. */
export function toColumns({
  completed,
  failed,
  usage,
}: {
  completed: number;
  failed: number;
  usage: Usage;
}): Figures {
  return {
    completed,
    failed,
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    total_tokens: usage.totalTokens,
    cached_tokens: usage.cachedTokens,
    reasoning_tokens: usage.reasoningTokens,
  };
}

export function toUsage(row: { [column in keyof UsageColumns]: number }): Usage {
  return {
    inputTokens: row.input_tokens,
    outputTokens: row.output_tokens,
    totalTokens: row.total_tokens,
    cachedTokens: row.cached_tokens,
    reasoningTokens: row.reasoning_tokens,
  };
}

/** The sums of all figures of `shards`, under the names of their columns. */
export function figureSums() {
  return figureColumns.map((column) =>
    sql<number>`cast(sum(${sql.ref(`shards.${column}`)}) as bigint)`.as(column),
  );
}

/** The figures as columns of elements of a list. */
export const figureElements = Object.fromEntries(
  figureColumns.map((column) => [column, "number"]),
) as Readonly<Record<FigureColumn, "number">>;

/** Each figure from the current element of a list whose elements have them as columns. */
export function figuresFromElement() {
  return Object.fromEntries(figureColumns.map((column) => [column, ofElement<number>(column)]));
}
