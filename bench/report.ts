// From the values of all rounds to the table of the results: median, spread, targets and whether they are met.

import type { Figure, Group, Target } from "./bench-run.ts";

export interface GroupReport {
  group: string;
  about: string;
  rounds: number;
  figures: FigureReport[];
}

export interface FigureReport extends Figure {
  values: number[];
  /** NaN (null in JSON) for what was not measured, as are the others. */
  median: number;
  lowest: number;
  highest: number;
  met: Verdict;
}

/** The best target that the median meets; null where there is none to meet. */
export type Verdict = "wish" | "must" | "missed" | "not measured" | null;

export function reportOf(group: Group, rounds: readonly Record<string, number>[]): GroupReport {
  const figures = Object.entries(group.figures).map(([key, figure]) => {
    const values = rounds.map((round) => round[key] ?? Number.NaN);
    const middle = median(values);
    const spread = { median: middle, lowest: Math.min(...values), highest: Math.max(...values) };
    return { ...figure, values, ...spread, met: verdict(middle, figure.target) };
  });
  return { group: group.name, about: group.about, rounds: rounds.length, figures };
}

/** The mean of the two in the middle when their number is even; NaN when one is NaN. */
export function median(values: readonly number[]): number {
  if (values.some(Number.isNaN)) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  const [low = Number.NaN, high = low] = sorted.slice(Math.ceil(half) - 1, Math.floor(half) + 1);
  return (low + high) / 2;
}

function verdict(value: number, target?: Target): Verdict {
  if (Number.isNaN(value)) return "not measured";
  if (!target) return null;
  const meets = (bound: number) => (target.better === "higher" ? value >= bound : value <= bound);
  if (target.wish !== undefined && meets(target.wish)) return "wish";
  return meets(target.must) ? "must" : "missed";
}

/** One table for all groups, each under a row that says what is measured. */
export function tableOf(reports: readonly GroupReport[]): string {
  const rows = reports.flatMap(({ group, about, rounds, figures }) => [
    [`**${group}**: ${about} (rounds: ${rounds})`, "", "", "", "", "", ""],
    ...figures.map(rowOf),
  ]);
  const head = ["figure", "median", "lowest", "highest", "must", "wish", "met"];
  return [head, head.map(() => "---"), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

function rowOf({
  name,
  unit,
  target,
  median: middle,
  lowest,
  highest,
  met,
}: FigureReport): string[] {
  const bound = (value: number | undefined) =>
    value === undefined ? "" : `${target?.better === "higher" ? "≥" : "≤"} ${amount(value, unit)}`;
  const values =
    met === "not measured"
      ? ["–", "–", "–"]
      : [middle, lowest, highest].map((value) => amount(value, unit));
  return [
    name,
    ...values,
    bound(target?.must),
    bound(target?.wish),
    met === "missed" ? "**missed**" : (met ?? ""),
  ];
}

function amount(value: number, unit: Figure["unit"]): string {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  const text = value.toLocaleString("en-US", {
    maximumFractionDigits: digits,
    minimumFractionDigits: unit === "×" ? digits : 0,
  });
  return `${text} ${unit}`;
}
