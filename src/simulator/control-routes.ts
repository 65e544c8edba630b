// Everything but inference: health, the list of models, how far a video is, and the simulator's own report and
// switches under /simulator. None of it counts as a request; modes other than "ok" spare only /simulator.
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { nowSeconds } from "./answer-context.ts";
import { keyRefusal } from "./api-key.ts";
import { isInferencePath, unknownModel } from "./inference-request.ts";
import { MODES, type Mode } from "./options.ts";
import type { PromptCount } from "./prompt-ledger.ts";
import { type Refusal, isRefusal, refusal, simulatedRefusal } from "./refusal.ts";
import { SIMULATED_HEADERS, replyJson, replyRefusal } from "./reply.ts";
import type { Simulator, SimulatorStats } from "./simulator.ts";

type Handler = (
  simulator: Simulator,
  request: IncomingMessage,
  response: ServerResponse,
) => void | Promise<void>;

interface Route {
  method: "GET" | "POST";
  handle: Handler;
}

const ROUTES = new Map<string, Route>([
  ["/health", { method: "GET", handle: answerHealth }],
  ["/v1/models", { method: "GET", handle: listModels }],
  ["/simulator/stats", { method: "GET", handle: reportStats }],
  ["/simulator/prompts", { method: "GET", handle: reportPrompts }],
  ["/simulator/reset", { method: "POST", handle: reset }],
  ["/simulator/mode", { method: "POST", handle: switchMode }],
]);

const MODEL_PREFIX = "/v1/models/";
const VIDEO_PREFIX = "/v1/videos/";
const MAX_MODE_BODY_BYTES = 4_096;
const MAX_FOR_MS = 3_600_000;
const PROMPTS_CHUNK_CHARACTERS = 65_536;

/** Answers a request that is no inference; `path` is without its query. */
export function answerControl(
  simulator: Simulator,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (!path.startsWith("/simulator/") && simulator.mode !== "ok") {
    answerOutage(simulator, response);
    return;
  }
  const unauthorized = path.startsWith("/v1/")
    ? keyRefusal(simulator.settings, request)
    : undefined;
  if (unauthorized !== undefined) {
    refuse(simulator, response, unauthorized);
    return;
  }
  const route = routeOf(path);
  const method = route?.method ?? (isInferencePath(path) ? "POST" : undefined);
  if (method === undefined) {
    refuse(simulator, response, refusal(404, `There is no ${path} here.`, "unknown_url"));
  } else if (route === undefined || request.method !== method) {
    const message = `Expected ${method} ${path}, got ${String(request.method)}.`;
    replyRefusal(response, refusal(405, message, "method_not_allowed"), 0, ["allow", method]);
  } else {
    Promise.resolve(route.handle(simulator, request, response)).catch(() => response.destroy());
  }
}

function routeOf(path: string): Route | undefined {
  const show = path.startsWith(MODEL_PREFIX)
    ? showModel
    : path.startsWith(VIDEO_PREFIX)
      ? showVideo
      : undefined;
  if (show === undefined) return ROUTES.get(path);
  return { method: "GET", handle: (simulator, _, response) => show(simulator, path, response) };
}

function answerOutage(simulator: Simulator, response: ServerResponse): void {
  const { mode } = simulator;
  if (mode === "hang") return;
  refuse(simulator, response, simulatedRefusal(Number(mode), "the simulator is in this mode"));
}

function answerHealth(_simulator: Simulator, _request: IncomingMessage, response: ServerResponse) {
  replyJson(response, 200, '{"status":"ok","simulated":true}');
}

function listModels(simulator: Simulator, _request: IncomingMessage, response: ServerResponse) {
  const data = simulator.settings.models.map(modelObject);
  replyJson(response, 200, JSON.stringify({ object: "list", data }));
}

function showModel(simulator: Simulator, path: string, response: ServerResponse): void {
  const { models } = simulator.settings;
  const encoded = path.slice(MODEL_PREFIX.length);
  const model = models.find((name) => name === encoded || encodeURIComponent(name) === encoded);
  if (model === undefined) refuse(simulator, response, unknownModel(encoded, models));
  else replyJson(response, 200, JSON.stringify(modelObject(model)));
}

function showVideo(simulator: Simulator, path: string, response: ServerResponse): void {
  const id = path.slice(VIDEO_PREFIX.length);
  const video = simulator.video(id);
  if (video !== undefined) {
    replyJson(response, 200, JSON.stringify(video));
    return;
  }
  const message = `The video '${id}' is not known here.`;
  refuse(simulator, response, refusal(404, message, "video_not_found", "video_id"));
}

function modelObject(id: string): object {
  return { id, object: "model", created: nowSeconds(), owned_by: "offpeak-simulator" };
}

function reportStats(simulator: Simulator, _request: IncomingMessage, response: ServerResponse) {
  replyJson(response, 200, JSON.stringify(snakeCased(simulator.stats())));
}

function snakeCased(stats: SimulatorStats): object {
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(stats).map(([name, value]) => [snake(name), value]));
}

async function reportPrompts(
  simulator: Simulator,
  _request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.writeHead(200, [...SIMULATED_HEADERS, "content-type", "application/jsonl"]);
  await pipeline(Readable.from(promptLines(simulator.prompts())), response);
}

function* promptLines(prompts: Iterable<Readonly<PromptCount>>): Generator<string> {
  let lines = "";
  for (const { prompt, times } of prompts) {
    lines += `${JSON.stringify({ prompt, times })}\n`;
    if (lines.length < PROMPTS_CHUNK_CHARACTERS) continue;
    yield lines;
    lines = "";
  }
  yield lines;
}

function reset(simulator: Simulator, request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  simulator.reset();
  replyJson(response, 200, '{"reset":true}');
}

/** Takes `{"mode": …, "for_ms": …}`; over HTTP "refuse" needs `for_ms`, or nobody could end it. */
async function switchMode(
  simulator: Simulator,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const asked = readMode(await readBody(request));
  if (isRefusal(asked)) {
    refuse(simulator, response, asked);
    return;
  }
  const { mode, forMs } = asked;
  const body = JSON.stringify({ mode, for_ms: forMs ?? null });
  if (mode === "refuse") {
    response.on("finish", () => void simulator.setMode(mode, forMs));
    replyJson(response, 200, body, ["connection", "close"]);
    return;
  }
  await simulator.setMode(mode, forMs);
  replyJson(response, 200, body);
}

function readMode(text: string): { mode: Mode; forMs: number | undefined } | Refusal {
  const asked = parsedObject(text);
  const mode = MODES.find((known) => known === asked["mode"]);
  if (mode === undefined) {
    const message = `Expected a JSON body {"mode": …} with one of ${MODES.join(", ")}.`;
    return refusal(400, message, "invalid_value", "mode");
  }
  const forMs = asked["for_ms"] ?? undefined;
  const isTime = typeof forMs === "number" && forMs > 0 && forMs <= MAX_FOR_MS;
  if (forMs === undefined ? mode === "refuse" : !isTime) {
    const message =
      `Expected "for_ms" to be a number of milliseconds above 0, at most ${MAX_FOR_MS}; ` +
      `"refuse" cannot do without, for a server that refuses connections cannot be told to stop.`;
    return refusal(400, message, "invalid_value", "for_ms");
  }
  return { mode, forMs: forMs as number | undefined };
}

function parsedObject(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes <= MAX_MODE_BODY_BYTES) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function refuse(simulator: Simulator, response: ServerResponse, reason: Refusal): void {
  replyRefusal(response, reason, simulator.settings.retryAfterSeconds);
}
