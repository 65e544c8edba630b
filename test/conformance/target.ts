// A server under test, seen from outside: its base URL, a key, a model, and nothing else.
import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import OpenAI from "openai";
import type { Need, Surroundings } from "./case.ts";

export interface TargetOptions {
  /** As SDKs have it, with its version: `http://127.0.0.1:8024/v1`. */
  baseUrl: string;
  apiKey: string;
  /** A model that its batches may name. */
  model: string;
  surroundings?: Partial<Surroundings>;
  /** How long a batch of a few lines may take. */
  patienceMs?: number;
}

export interface Answer {
  status: number;
  headers: Headers;
  bytes: Buffer;
  text: string;
  /** The body as JSON; undefined when it is none. */
  json: unknown;
}

export interface Request {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array | FormData | ReadableStream;
  /** Instead of the target's own; null sends none. */
  apiKey?: string | null;
}

const PATIENCE_MS = 100_000;

export class Target {
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly model: string;
  /** The official SDK, without retries, so that every refusal is seen. */
  readonly openai: OpenAI;
  readonly patienceMs: number;
  readonly #surroundings: Partial<Surroundings>;
  readonly #made = new Map<string, Promise<unknown>>();

  constructor({ baseUrl, apiKey, model, surroundings = {}, patienceMs }: TargetOptions) {
    this.baseUrl = baseUrl.replace(/\/$/, "");
    this.apiKey = apiKey;
    this.model = model;
    this.openai = new OpenAI({ baseURL: this.baseUrl, apiKey, maxRetries: 0 });
    this.patienceMs = patienceMs ?? PATIENCE_MS;
    this.#surroundings = surroundings;
  }

  /** What a case has declared to need. */
  with<N extends Need>(need: N): Surroundings[N] {
    const value = this.#surroundings[need];
    assert.ok(value !== undefined, `the case does not declare that it needs ${need}`);
    return value;
  }

  /** Makes a thing when a case first asks for it, for all cases that look at the same. */
  once<T>(name: string, make: () => Promise<T>): Promise<T> {
    const made = this.#made.get(name) ?? make();
    this.#made.set(name, made);
    return made as Promise<T>;
  }

  /** One request. A path that begins with a slash is below the base URL; others are whole URLs. */
  async send(
    path: string,
    { method = "GET", headers = {}, body, apiKey = this.apiKey }: Request = {},
  ): Promise<Answer> {
    const response = await fetch(path.startsWith("/") ? this.baseUrl + path : path, {
      method,
      headers: { ...(apiKey !== null && { authorization: `Bearer ${apiKey}` }), ...headers },
      redirect: "manual",
      ...(body !== undefined && { body }),
      ...(body instanceof ReadableStream && { duplex: "half" as const }),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const text = bytes.toString();
    return { status: response.status, headers: response.headers, bytes, text, json: parsed(text) };
  }

  /** A POST with a JSON body. */
  post(path: string, value: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(value),
    });
  }

  /** The URL of a path beside the API, such as `/healthz`. */
  beside(path: string): string {
    return new URL(path, this.baseUrl).href;
  }
}

/** The first answer of `look` that is not undefined. Throws when there is none in time. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined>,
  { timeoutMs = PATIENCE_MS, pauseMs = 50 }: { timeoutMs?: number; pauseMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await delay(pauseMs);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
