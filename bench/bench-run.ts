// What a group of figures is, and what it gets from the run it belongs to.

export interface Target {
  must: number;
  wish?: number;
  /** Whether a higher or a lower value meets it. */
  better: "higher" | "lower";
}

export interface Figure {
  name: string;
  unit: "×" | "ms" | "s" | "µs" | "MB" | "%" | "lines/s" | "bytes" | "per 1,000 lines";
  target?: Target;
}

export interface Group<Name extends string = string> {
  /** What `--only` calls it. */
  name: string;
  /** What is measured, against what, as the table's heading says it. */
  about: string;
  figures: Record<Name, Figure>;
  /** Fewer rounds than asked for, because a round is long. */
  mostRounds?: number;
  /** Measured only by name or with `--all`. */
  onlyWhenAsked?: boolean;
  /** One round: a value for each figure, NaN for what can't be measured here. */
  measure(run: BenchRun): Promise<Record<Name, number>>;
}

/** The group as it is, with its values checked against the names of its figures. */
export function defineGroup<Name extends string>(group: Group<Name>): Group<Name> {
  return group;
}

export interface BenchRun {
  /** Temporary, of this run alone. */
  directory: string;
  /** The command `offpeak`. */
  offpeak: readonly string[];
  progress(text: string): void;
}
