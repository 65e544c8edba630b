// Reads docs/api-compatibility.md as data: its rows, and the line that says how many there are.
import { readFileSync } from "node:fs";

const DOCUMENT = new URL("../../docs/api-compatibility.md", import.meta.url);

export interface Row {
  id: string;
  openai: string;
  offpeak: string;
  /** Marked as one that requests can't prove. */
  hasNoRequest: boolean;
}

export interface CompatibilityDocument {
  rows: Row[];
  /** What it says of itself: "N rows, M cases". */
  counts: { rows: number; cases: number } | undefined;
  /** Rows that the table of unknowns points to. */
  referred: string[];
}

export function readDocument(): CompatibilityDocument {
  const lines = readFileSync(DOCUMENT, "utf8").split("\n");
  const tables = lines.filter((line) => line.startsWith("| ")).map(cells);
  const rows = tables.flatMap(([first = "", openai = "", offpeak = "", notes = ""]) => {
    const id = idIn(first);
    if (id === undefined) return [];
    return [{ id, openai, offpeak, hasNoRequest: notes.includes("*(no request)*") }];
  });
  const referred = tables.flatMap(([first = "", , third = ""]) => {
    const id = idIn(third);
    return id === undefined || idIn(first) !== undefined ? [] : [id];
  });
  const [, rowCount, caseCount] = /\*\*(\d+) rows, (\d+) cases\*\*/.exec(lines.join("\n")) ?? [];
  const counts =
    rowCount === undefined ? undefined : { rows: Number(rowCount), cases: Number(caseCount) };
  return { rows, counts, referred };
}

function cells(line: string): string[] {
  return line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());
}

/** Of a cell that is nothing but an id. */
function idIn(cell: string): string | undefined {
  return /^`([a-z][\w.-]+)`$/.exec(cell)?.[1];
}
