// The support tickets of the demo: written by hand, each labelled with the department whose job it is.
// The labels were set from the text alone; some tickets are borderline on purpose.

import { readFileSync } from "node:fs";
import type { DepartmentId } from "./departments.ts";

export interface SupportTicket {
  id: string;
  text: string;
  department: DepartmentId;
}

/** All tickets of `support-tickets.jsonl`, in the order in which they lie in the inbox. */
export function readSupportTickets(): SupportTicket[] {
  const jsonl = readFileSync(new URL("./support-tickets.jsonl", import.meta.url), "utf8");
  return jsonl
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as SupportTicket);
}
