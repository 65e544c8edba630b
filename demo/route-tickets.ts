// Routes tickets by their embeddings: a ticket goes to the department whose description is nearest.
// Pure functions; the report says how often that agrees with the labels and where the others went.

/** An embedding: any array of numbers, so that both JSON arrays and Float32Arrays fit. */
export type Vector = ArrayLike<number>;

export interface RoutedTicket {
  /** The department of the label. */
  expected: string;
  /** The department chosen by the router. */
  chosen: string;
}

export interface DepartmentAccuracy {
  department: string;
  total: number;
  correct: number;
  /** The other departments that its tickets were sent to, most frequent first. */
  confusions: { department: string; count: number }[];
}

export interface RoutingReport {
  total: number;
  correct: number;
  /** correct / total, 0 when there are no tickets. */
  accuracy: number;
  /** In the order in which the labels first appear. */
  departments: DepartmentAccuracy[];
}

/** The cosine of the angle between two vectors, from -1 to 1; 0 when one of them is all zeros. Throws on unequal lengths. */
export function cosineSimilarity(a: Vector, b: Vector): number {
  if (a.length !== b.length) {
    throw new RangeError(
      `Expected two vectors of the same length, got ${a.length} and ${b.length}: embed both with the same model.`,
    );
  }
  let dot = 0;
  let squaredA = 0;
  let squaredB = 0;
  for (let i = 0; i < a.length; i += 1) {
    const x = a[i]!;
    const y = b[i]!;
    dot += x * y;
    squaredA += x * x;
    squaredB += y * y;
  }
  return squaredA === 0 || squaredB === 0 ? 0 : dot / Math.sqrt(squaredA * squaredB);
}

/** The key of the description nearest to the ticket; the first one wins a tie. Throws when there are none. */
export function nearestDepartment<Id extends string>(
  ticket: Vector,
  descriptions: ReadonlyMap<Id, Vector>,
): Id {
  let nearest: Id | undefined;
  let highest = -Infinity;
  for (const [department, description] of descriptions) {
    const similarity = cosineSimilarity(ticket, description);
    if (similarity > highest) {
      highest = similarity;
      nearest = department;
    }
  }
  if (nearest === undefined) {
    throw new RangeError("Expected at least one department to choose from, got none.");
  }
  return nearest;
}

/** Counts how many tickets were routed as labelled, in all and for each label. */
export function routingReport(tickets: readonly RoutedTicket[]): RoutingReport {
  const departments = [...Map.groupBy(tickets, (ticket) => ticket.expected)].map(
    ([department, labelled]) => departmentAccuracy(department, labelled),
  );
  const correct = departments.reduce((sum, department) => sum + department.correct, 0);
  return {
    total: tickets.length,
    correct,
    accuracy: tickets.length === 0 ? 0 : correct / tickets.length,
    departments,
  };
}

function departmentAccuracy(department: string, labelled: RoutedTicket[]): DepartmentAccuracy {
  const wrong = labelled.filter((ticket) => ticket.chosen !== department);
  const confusions = [...Map.groupBy(wrong, (ticket) => ticket.chosen)]
    .map(([chosen, sent]) => ({ department: chosen, count: sent.length }))
    .toSorted((a, b) => b.count - a.count);
  return {
    department,
    total: labelled.length,
    correct: labelled.length - wrong.length,
    confusions,
  };
}

/** The report as a plain text table of one line per department, most tickets first, without a final newline. */
export function formatRoutingReport(report: RoutingReport): string {
  const rows = report.departments
    .toSorted((a, b) => b.total - a.total)
    .map((department) =>
      row(
        department.department,
        `${department.correct}/${department.total}`,
        department.confusions.map((other) => `${other.department} ${other.count}`).join(", "),
      ),
    );
  return [row("department", "correct", "sent elsewhere"), ...rows].join("\n");
}

function row(department: string, correct: string, elsewhere: string): string {
  return `${department.padEnd(14)}${correct.padStart(7)}  ${elsewhere}`.trimEnd();
}
