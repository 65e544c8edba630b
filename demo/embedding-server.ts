// An OpenAI-compatible server on 127.0.0.1 with a real model: GET /v1/models and POST /v1/embeddings.
// Bodies, texts and waiting work are bounded; beyond the queue it answers 429 with Retry-After.

import { fastify, type FastifyError, type FastifyInstance } from "fastify";
import { ApiError } from "../src/core/api-error.ts";
import {
  EmbeddingModel,
  EmbeddingModelStoppedError,
  EmbeddingQueueFullError,
  type EmbeddingCounters,
} from "./embedding-model.ts";
import { EMBEDDING_MODEL, readEmbeddingRequest } from "./embedding-request.ts";

const MAX_BODY_BYTES = 1024 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
const RETRY_AFTER_SECONDS = 1;

export interface EmbeddingServerOptions {
  /** 0, the default, takes any free port. */
  port?: number;
}

export class EmbeddingServer {
  /** What an OpenAI client is given as its base URL; ends in `/v1`. */
  readonly baseUrl: string;
  readonly #app: FastifyInstance;
  readonly #model: EmbeddingModel;

  private constructor(app: FastifyInstance, model: EmbeddingModel, origin: string) {
    this.baseUrl = `${origin}/v1`;
    this.#app = app;
    this.#model = model;
  }

  /**
   * Loads the model, then listens. Rejects, with nothing left running, when either fails. Afterwards
   * `stop()` it, or declare it with `await using`.
   */
  static async start({ port = 0 }: EmbeddingServerOptions = {}): Promise<EmbeddingServer> {
    const model = await EmbeddingModel.start();
    const app = createApp(model);
    try {
      const origin = await app.listen({ host: "127.0.0.1", port });
      return new EmbeddingServer(app, model, origin);
    } catch (error) {
      await model.stop();
      throw error;
    }
  }

  /** How many texts were embedded in how many batches: what merging has saved. */
  get counters(): Readonly<EmbeddingCounters> {
    return this.#model.counters;
  }

  /** Answers 503 to what still waits, then closes the port and ends the worker thread. */
  async stop(): Promise<void> {
    await this.#model.stop();
    await this.#app.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function createApp(model: EmbeddingModel): FastifyInstance {
  const app = fastify({ bodyLimit: MAX_BODY_BYTES, requestTimeout: REQUEST_TIMEOUT_MS });

  app.get("/v1/models", () => ({
    object: "list",
    data: [{ id: EMBEDDING_MODEL, object: "model", created: 0, owned_by: "offpeak-demo" }],
  }));

  app.post("/v1/embeddings", (request) => answerEmbeddings(model, request.body));

  app.setNotFoundHandler((request) => {
    throw new ApiError(404, `Unknown request URL: ${request.method} ${request.url}.`, {
      code: "unknown_url",
    });
  });

  app.setErrorHandler<FastifyError>((error, _request, reply) => {
    const { status, message, type, param, code } = toApiError(error);
    if (status === 429) reply.header("retry-after", RETRY_AFTER_SECONDS);
    return reply.code(status).send({ error: { message, type, param, code } });
  });

  return app;
}

async function answerEmbeddings(model: EmbeddingModel, body: unknown): Promise<object> {
  const { texts, encodingFormat } = readEmbeddingRequest(body);
  const embeddings = await model.embed(texts);
  const tokenCount = embeddings.reduce((sum, embedding) => sum + embedding.tokenCount, 0);
  return {
    object: "list",
    data: embeddings.map(({ vector }, index) => ({
      object: "embedding",
      index,
      embedding: encodingFormat === "base64" ? toBase64(vector) : Array.from(vector),
    })),
    model: EMBEDDING_MODEL,
    usage: { prompt_tokens: tokenCount, total_tokens: tokenCount },
  };
}

function toApiError(error: Error & { statusCode?: number }): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof EmbeddingQueueFullError) {
    return new ApiError(429, error.message, {
      type: "requests",
      code: "rate_limit_exceeded",
    });
  }
  if (error instanceof EmbeddingModelStoppedError) return new ApiError(503, error.message);
  return new ApiError(error.statusCode ?? 500, error.message);
}

/** Little-endian 32-bit floats, as the SDKs read them on any machine. */
function toBase64(vector: Float32Array): string {
  const bytes = new DataView(new ArrayBuffer(vector.byteLength));
  for (const [i, value] of vector.entries()) bytes.setFloat32(i * 4, value, true);
  return Buffer.from(bytes.buffer).toString("base64");
}
