// The chat batch of the demo's second part: three questions about each of the first 200 support tickets. A few
// prompts tell the simulator to refuse them, so that the batch has an error file.

import type { BatchRequest } from "./batch-client.ts";
import { readSupportTickets } from "./support-tickets.ts";

const TICKETS = 200;
const TASKS = [
  { name: "summary", prompt: "Summarise this support ticket in one sentence:" },
  { name: "reply", prompt: "Write a short, friendly reply to this customer:" },
  { name: "urgency", prompt: "How urgent is this, from 1 to 5, and why?" },
];

/** By the number of the request. */
const REFUSALS = new Map([
  [77, 400],
  [191, 422],
  [305, 400],
  [419, 413],
  [533, 400],
]);

/** Tokens of an answer: different for each request, so that the answers don't arrive in waves. */
const MIN_TOKENS = 8;
const MAX_TOKENS = 32;

export interface ChatRequest extends BatchRequest {
  body: { model: string; max_tokens: number; messages: [{ role: "user"; content: string }] };
}

/** 600 requests with different prompts. */
export function chatRequests(model: string): ChatRequest[] {
  const questions = readSupportTickets()
    .slice(0, TICKETS)
    .flatMap(({ id, text }) =>
      TASKS.map(({ name, prompt }) => ({ id: `${id}/${name}`, question: `${prompt}\n\n${text}` })),
    );
  return questions.map(({ id, question }, index) => ({
    custom_id: id,
    method: "POST",
    url: "/v1/chat/completions",
    body: {
      model,
      max_tokens: MIN_TOKENS + ((index * 7) % (MAX_TOKENS - MIN_TOKENS + 1)),
      messages: [{ role: "user", content: question + directiveFor(index + 1) }],
    },
  }));
}

/** How many of the requests are refused on purpose. */
export const refusedRequests = REFUSALS.size;

function directiveFor(requestNumber: number): string {
  const status = REFUSALS.get(requestNumber);
  return status === undefined ? "" : `\n\n[simulate: ${status}]`;
}
