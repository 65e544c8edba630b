// The shipped data is usable: enough tickets, no repeats, labels that exist.

import { describe, expect, it } from "vitest";
import { departments } from "./departments.ts";
import { readSupportTickets } from "./support-tickets.ts";

const tickets = readSupportTickets();

describe("the support tickets", () => {
  it("are at least 220, each with an id and a text of its own", () => {
    expect(tickets.length).toBeGreaterThanOrEqual(220);
    expect(new Set(tickets.map((ticket) => ticket.id)).size).toBe(tickets.length);
    const texts = tickets.map((ticket) => ticket.text.toLowerCase().replaceAll(/\W+/g, " ").trim());
    expect(new Set(texts).size).toBe(tickets.length);
    expect(texts).not.toContain("");
  });

  it("are labelled with departments that exist, each of which gets at least 20", () => {
    const counts = Map.groupBy(tickets, (ticket) => ticket.department);
    expect([...counts.keys()].toSorted()).toEqual(departments.map(({ id }) => id).toSorted());
    const smallest = Math.min(...[...counts.values()].map((labelled) => labelled.length));
    expect(smallest).toBeGreaterThanOrEqual(20);
  });
});
