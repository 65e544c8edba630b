// One inference request from its first byte to the end of its answer: read, count, decide its outcome, wait
// for a slot, wait out the latency, answer. Whatever ends it, its slot is freed and its end counted once.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AnswerContext } from "./answer-context.ts";
import { answerTo, tokensPerChoice } from "./answers.ts";
import { keyRefusal } from "./api-key.ts";
import {
  type After,
  type Payload,
  deliverCut,
  deliverDrip,
  deliverGarbage,
  deliverStream,
  deliverWhole,
  wholeStream,
} from "./delivery.ts";
import { eventStreamFor } from "./event-stream.ts";
import { type Outcome, outcomeOf } from "./failures.ts";
import { type InferenceRequest, readInferenceRequest, servedModel } from "./inference-request.ts";
import type { VideoRequest } from "./media-request.ts";
import type { Mode, SimulatorSettings } from "./options.ts";
import { type PromptLedger, promptKey } from "./prompt-ledger.ts";
import { type Refusal, isRefusal, refusal, simulatedRefusal } from "./refusal.ts";
import { replyRefusal } from "./reply.ts";
import { Place, type Slots } from "./slots.ts";
import type { Tally } from "./tally.ts";
import type { VideoJobs } from "./video-jobs.ts";

/** What all requests of one simulator share. */
export interface ExchangeHost {
  readonly settings: SimulatorSettings;
  readonly slots: Slots;
  readonly ledger: PromptLedger;
  readonly tally: Tally;
  readonly videos: VideoJobs;
  mode(): Mode;
  /** Drops every connection, this request's own too. */
  crash(): void;
}

type Manner = Exclude<Outcome, number>;
/** The manners in which the right answer is sent, if not always to its end. */
type WholeManner = Exclude<Manner, "hang" | "crash" | "garbage">;

const MAX_BODY_BYTES = 64 * 1024 * 1024;
const MAX_TIMER_MS = 2 ** 31 - 1;

export class Exchange {
  readonly #host: ExchangeHost;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #path: string;
  readonly #serial: number;
  readonly #chunks: Buffer[] = [];
  #sizeBytes = 0;
  #place: Place | undefined;
  #timer: NodeJS.Timeout | undefined;

  readonly #after: After = (delayMs, then) => {
    if (delayMs === 0) then();
    else this.#timer = setTimeout(then, Math.min(delayMs, MAX_TIMER_MS));
  };

  /** `path` is one of the inference paths. The request counts as received from here on. */
  constructor(
    host: ExchangeHost,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ) {
    this.#host = host;
    this.#path = path;
    this.#request = request;
    this.#response = response;
    this.#serial = host.tally.received();
  }

  begin(): void {
    this.#request.on("data", (chunk: Buffer) => this.#collect(chunk));
    this.#request.on("end", () => this.#decide());
    this.#response.on("close", () => this.#end());
  }

  #collect(chunk: Buffer): void {
    this.#sizeBytes += chunk.length;
    if (this.#sizeBytes <= MAX_BODY_BYTES) this.#chunks.push(chunk);
    else this.#chunks.length = 0;
  }

  #decide(): void {
    if (this.#sizeBytes > MAX_BODY_BYTES) {
      const message = `Expected a body of at most ${MAX_BODY_BYTES} bytes, got ${this.#sizeBytes}.`;
      this.#refuse(refusal(413, message));
      return;
    }
    const { settings, ledger } = this.#host;
    const unauthorized = keyRefusal(settings, this.#request);
    if (unauthorized !== undefined) {
      this.#refuse(unauthorized);
      return;
    }
    const mode = this.#host.mode();
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#chunks.length = 0;
    const request = readInferenceRequest(this.#path, body, this.#request.headers["content-type"]);
    const key = isRefusal(request) ? "" : promptKey(request.prompt);
    const times = isRefusal(request) ? 0 : ledger.count(key, request.prompt);
    if (mode === "hang") return;
    if (mode !== "ok" && mode !== "refuse") {
      this.#refuse(simulatedRefusal(Number(mode), "the simulator is in this mode"));
      return;
    }
    if (isRefusal(request)) {
      this.#refuse(request);
      return;
    }
    const model = servedModel(request, settings.models);
    if (typeof model === "object") {
      this.#refuse(model);
      return;
    }
    const outcome = outcomeOf(settings, request.prompt, key, times);
    if (typeof outcome === "object") this.#refuse(outcome);
    else if (typeof outcome === "number") {
      this.#refuse(simulatedRefusal(outcome, "asked for by the prompt or the failure rate"));
    } else if (outcome === "failed" && request.kind !== "video") {
      const message =
        "Expected [simulate: failed] in the prompt of a video: nothing else has a job.";
      this.#refuse(refusal(400, message, "unknown_directive"));
    } else this.#queue(request, model, outcome);
  }

  #queue(request: InferenceRequest, model: string, manner: Manner): void {
    const place = new Place(() => this.#run(request, model, manner));
    const state = this.#host.slots.enter(place);
    if (state === "full") {
      const { maxQueue } = this.#host.settings;
      const message = `The queue is full: ${maxQueue} requests wait already. Try again later.`;
      this.#refuse(refusal(429, message, "rate_limit_exceeded"));
      return;
    }
    this.#place = place;
    if (state === "running") this.#run(request, model, manner);
  }

  #run(request: InferenceRequest, model: string, manner: Manner): void {
    if (this.#isAbandoned() || manner === "hang") return;
    if (manner === "crash") this.#host.crash();
    else this.#after(this.#latencyMs(request), () => this.#answer(request, model, manner));
  }

  /** Time until the whole answer is due; for a stream, until its first token. */
  #latencyMs(request: InferenceRequest): number {
    const { timeToFirstTokenMs, interTokenLatencyMs, outputTokens } = this.#host.settings;
    if (!("stream" in request) || request.stream) return timeToFirstTokenMs;
    return timeToFirstTokenMs + (tokensPerChoice(request, outputTokens) - 1) * interTokenLatencyMs;
  }

  #answer(
    request: InferenceRequest,
    model: string,
    manner: Exclude<Manner, "hang" | "crash">,
  ): void {
    const { outputTokens, imageBytes, interTokenLatencyMs } = this.#host.settings;
    const context: AnswerContext = { model, serial: this.#serial, outputTokens, imageBytes };
    if (manner === "garbage") deliverGarbage(this.#response);
    else if (request.kind === "video") this.#createVideo(request, model, manner);
    else if (!("stream" in request && request.stream)) {
      this.#deliver("application/json", JSON.stringify(answerTo(request, context)), manner);
    } else {
      const stream = eventStreamFor(request, context);
      if (manner === "ok") deliverStream(this.#response, stream, this.#after, interTokenLatencyMs);
      else this.#deliver("text/event-stream", wholeStream(stream), manner);
    }
  }

  #createVideo(request: VideoRequest, model: string, manner: WholeManner): void {
    const ending = manner === "failed" ? "failed" : "completed";
    const video = this.#host.videos.create(request, model, ending);
    if (video === undefined) {
      const message = "As many videos as this simulator keeps are in the making. Try again later.";
      this.#refuse(refusal(429, message, "rate_limit_exceeded"));
    } else this.#deliver("application/json", JSON.stringify(video), manner);
  }

  #deliver(contentType: Payload["contentType"], body: string, manner: WholeManner): void {
    const payload: Payload = { contentType, body };
    if (manner === "cut") deliverCut(this.#response, payload);
    else if (manner === "drip") {
      deliverDrip(this.#response, payload, this.#after, this.#host.settings.dripIntervalMs);
    } else deliverWhole(this.#response, payload);
  }

  #refuse(reason: Refusal): void {
    replyRefusal(this.#response, reason, this.#host.settings.retryAfterSeconds);
  }

  #isAbandoned(): boolean {
    return this.#request.socket.destroyed;
  }

  #end(): void {
    clearTimeout(this.#timer);
    if (this.#place !== undefined) this.#host.slots.leave(this.#place);
    const isWhole = this.#response.writableFinished && !this.#isAbandoned();
    this.#host.tally.ended(isWhole ? this.#response.statusCode : undefined);
  }
}
