// The demo's first part: a batch of real embeddings. Every support ticket and every department's description
// is one request; each ticket goes to the department whose description is nearest to it.

import { join } from "node:path";
import type OpenAI from "openai";
import type { CreateEmbeddingResponse } from "openai/resources";
import {
  type BatchRequest,
  type BatchResult,
  checkEachOnce,
  download,
  submit,
  untilCompleted,
} from "./batch-client.ts";
import { departments } from "./departments.ts";
import { EMBEDDING_MODEL } from "./embedding-request.ts";
import {
  type RoutingReport,
  type Vector,
  formatRoutingReport,
  nearestDepartment,
  routingReport,
} from "./route-tickets.ts";
import { readSupportTickets } from "./support-tickets.ts";
import type { Terminal } from "./terminal.ts";

/** Runs the part. `workDir` takes the input file. Throws when the batch does not give every vector. */
export async function runEmbeddingsPart(
  client: OpenAI,
  terminal: Terminal,
  workDir: string,
): Promise<void> {
  const tickets = readSupportTickets();
  terminal.heading(`1  A real model: route ${tickets.length} support tickets by their embeddings`);
  terminal.line(
    "  A file with one request a line goes up. Offpeak works through it in the background,",
  );
  terminal.line("  and a file with one result a line comes back.");
  terminal.line();
  const requests = [
    ...departments.map(({ id, description }) => embeddingRequest(id, description)),
    ...tickets.map(({ id, text }) => embeddingRequest(id, text)),
  ];
  const submitted = await submit(client, terminal, requests, join(workDir, "embeddings.jsonl"));
  const batch = await untilCompleted(client, terminal, submitted.id);
  const output = await download<CreateEmbeddingResponse>(
    client,
    terminal,
    batch.output_file_id,
    "output",
  );
  checkEachOnce(requests, output);

  const vectors = new Map(output.map((result) => [result.custom_id, vectorOf(result)]));
  const descriptions = new Map(departments.map(({ id }) => [id, vectors.get(id)!]));
  const routed = tickets.map(({ id, department }) => ({
    expected: department,
    chosen: nearestDepartment(vectors.get(id)!, descriptions),
  }));
  showReport(terminal, routingReport(routed));
}

function embeddingRequest(id: string, input: string): BatchRequest {
  const body = { model: EMBEDDING_MODEL, input };
  return { custom_id: id, method: "POST", url: "/v1/embeddings", body };
}

function vectorOf({ response, custom_id: id }: BatchResult<CreateEmbeddingResponse>): Vector {
  const vector = response?.body.data[0]?.embedding;
  if (vector === undefined) throw new Error(`Expected a vector for ${id}, got none.`);
  return vector;
}

function showReport(terminal: Terminal, report: RoutingReport): void {
  terminal.line();
  terminal.line(
    "  Each ticket goes to the department whose description is nearest to it in meaning:",
  );
  terminal.line();
  for (const row of formatRoutingReport(report).split("\n")) {
    terminal.line(`    ${row}`);
  }
  const { correct, total, accuracy } = report;
  const verdict = `${correct} of ${total} tickets (${percent(accuracy)}) routed as a person labelled them`;
  terminal.line();
  terminal.line(
    `  ${terminal.styled("green", verdict)}; guessing would get ${percent(1 / departments.length)}.`,
  );
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
