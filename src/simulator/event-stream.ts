// Answers as server-sent events, for requests with `stream: true`: what opens the stream, one piece for each
// token, and what closes it. Joined they are the whole body.
import { type AnswerContext, FINGERPRINT, nowSeconds } from "./answer-context.ts";
import {
  completionUsage,
  finishReason,
  response,
  responseMessage,
  tokensPerChoice,
} from "./answers.ts";
import { generatedText, generatedTokens } from "./generated-text.ts";
import type { GenerationRequest } from "./inference-request.ts";

export interface EventStream {
  opening: string;
  tokens: string[];
  closing: string;
}

export function eventStreamFor(request: GenerationRequest, context: AnswerContext): EventStream {
  return request.kind === "response"
    ? responseStream(request, context)
    : chunkStream(request, context);
}

/** Chunks of a chat or text completion. */
function chunkStream(request: GenerationRequest, context: AnswerContext): EventStream {
  const isChat = request.kind === "chat";
  const head = {
    id: `${isChat ? "chatcmpl" : "cmpl"}-sim${context.serial}`,
    object: isChat ? "chat.completion.chunk" : "text_completion",
    created: nowSeconds(),
    model: context.model,
    system_fingerprint: FINGERPRINT,
  };
  const chunk = (index: number, delta: object, text: string, finish_reason: string | null) => {
    const content = isChat ? { delta } : { text };
    return dataEvent({ ...head, choices: [{ index, ...content, logprobs: null, finish_reason }] });
  };
  const count = tokensPerChoice(request, context.outputTokens);
  const texts = request.questions.map((question) => generatedTokens(question, count));
  const each = (make: (words: string[], index: number) => string) => texts.map(make).join("");
  const finish = finishReason(request, context.outputTokens);
  const usage = completionUsage(request, context.outputTokens);
  return {
    opening: isChat
      ? each((_words, index) => chunk(index, { role: "assistant", content: "" }, "", null))
      : "",
    tokens: Array.from({ length: count }, (_, position) =>
      each((words, index) => {
        const text = words[position] ?? "";
        return chunk(index, { content: text }, text, null);
      }),
    ),
    closing:
      each((_words, index) => chunk(index, {}, "", finish)) +
      (request.includeUsage ? dataEvent({ ...head, choices: [], usage }) : "") +
      "data: [DONE]\n\n",
  };
}

/** The typed events of /v1/responses. */
function responseStream(request: GenerationRequest, context: AnswerContext): EventStream {
  let sequence_number = 0;
  const event = (type: string, members: object) =>
    `event: ${type}\n${dataEvent({ type, sequence_number: sequence_number++, ...members })}`;
  const count = tokensPerChoice(request, context.outputTokens);
  const question = request.questions[0] ?? "";
  const text = generatedText(question, count);
  const begun = response(request, context, "in_progress");
  const finished = response(request, context);
  const item = responseMessage(request, context);
  const spot = { item_id: `msg_sim${context.serial}`, output_index: 0, content_index: 0 };
  const part = { type: "output_text", text, annotations: [] };
  const isCutShort = finishReason(request, context.outputTokens) === "length";
  return {
    opening:
      event("response.created", { response: begun }) +
      event("response.in_progress", { response: begun }) +
      event("response.output_item.added", {
        output_index: 0,
        item: { ...item, status: "in_progress", content: [] },
      }) +
      event("response.content_part.added", { ...spot, part: { ...part, text: "" } }),
    tokens: generatedTokens(question, count).map((delta) =>
      event("response.output_text.delta", { ...spot, delta, logprobs: [] }),
    ),
    closing:
      event("response.output_text.done", { ...spot, text, logprobs: [] }) +
      event("response.content_part.done", { ...spot, part }) +
      event("response.output_item.done", { output_index: 0, item }) +
      event(isCutShort ? "response.incomplete" : "response.completed", { response: finished }),
  };
}

function dataEvent(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
