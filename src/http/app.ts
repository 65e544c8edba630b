// The HTTP server: what holds for every request, and the routes. It knows the services and nothing
// of where they keep things.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  LogController,
  type RawServerDefault,
} from "fastify";
import type { BatchService } from "../batches/batch-service.ts";
import { newHttpRequestId } from "../core/ids.ts";
import type { FileService } from "../files/file-service.ts";
import type { Log } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { ApiKeys } from "../projects/api-keys.ts";
import type { ProjectWebhooks } from "../projects/project-webhooks.ts";
import type { UploadService } from "../uploads/upload-service.ts";
import { admit } from "./auth.ts";
import {
  answerBrokenConnection,
  headerRefusal,
  invalidUrl,
  malformedJson,
  sendError,
  unsupportedContentType,
} from "./errors.ts";
import type { IdempotencyKeys } from "./idempotency.ts";
import { refuseOtherMethods } from "./method-guard.ts";
import { addOpenApiRoute, describeApi } from "./openapi.ts";
import { addAdminRoutes } from "./routes/admin.ts";
import { addBatchRoutes } from "./routes/batches.ts";
import { addFileRoutes } from "./routes/files.ts";
import { addModelRoutes } from "./routes/models.ts";
import { type Readiness, addOperationsRoutes } from "./routes/operations.ts";
import { addUploadRoutes } from "./routes/uploads.ts";
import { addWebhookRoutes } from "./routes/webhooks.ts";
import type { Model } from "./wire.ts";

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** What clients are served with. */
export interface ClientServices {
  files: FileService;
  uploads: UploadService;
  batches: BatchService;
  idempotency: IdempotencyKeys;
  /** What the `endpoint` of a batch may be. */
  endpoints: readonly string[];
  webhooks: ProjectWebhooks;
  listModels: () => readonly Model[];
}

export interface AppParts {
  /** Null: the node serves no clients, only those who run it. */
  services: ClientServices | null;
  keys: ApiKeys;
  metrics: Metrics;
  log: Log;
  /** For Prometheus, of all processes. */
  exposeMetrics: () => Promise<string>;
  readiness: () => Promise<Readiness>;
  /** Whether requests may name the server by any Host even without keys; false while it listens on loopback only. */
  anyHost: boolean;
}

const JSON_BODY_BYTES = 1024 * 1024;
/** A connection on which nothing moves for so long is cut, in the middle of an upload too. */
const IDLE_CONNECTION_MS = 120_000;
const PATH_PART_CHARACTERS = 512;
/** How long closing waits for requests in progress before it cuts them. */
const CLOSING_MS = 3_000;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Builds the server; the caller listens and closes. Closing takes a few seconds at most. */
export function buildApp(parts: AppParts): App {
  const loggerInstance: FastifyBaseLogger = parts.log;
  const app: App = Fastify({
    loggerInstance,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: "request_id",
    }),
    genReqId: newHttpRequestId,
    requestIdHeader: false,
    bodyLimit: JSON_BODY_BYTES,
    connectionTimeout: IDLE_CONNECTION_MS,
    // Node.js would refuse it without a body; a hook does it in the envelope.
    http: { requireHostHeader: false },
    return503OnClosing: false,
    routerOptions: { maxParamLength: PATH_PART_CHARACTERS },
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, verbose: true } },
    clientErrorHandler: answerBrokenConnection,
    frameworkErrors: (error, request, reply) => {
      // No hook runs for a path that can't be read.
      reply.headers(commonHeaders(request));
      sendError(error, request, reply);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.decorateRequest("projectId", "");
  app.setErrorHandler(sendError);
  // Schemas describe answers; they don't write them: a generated serializer turns null into 0.
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  takeJsonBodies(app);
  addHooks(app, parts);
  takeAnyExpectation(app);
  const endRoutes = refuseOtherMethods(app);
  describeApi(app);
  void app.register(async (routes: App) => addRoutes(routes, parts));
  app.after(endRoutes);
  return app;
}

function addRoutes(app: App, { services, ...parts }: AppParts): void {
  addOperationsRoutes(app, parts);
  addOpenApiRoute(app);
  if (services === null) return;
  addBatchRoutes(app, services);
  addFileRoutes(app, services);
  addUploadRoutes(app, services);
  addModelRoutes(app, services.listModels);
  addWebhookRoutes(app, services.webhooks);
  addAdminRoutes(app, { ...parts, ...services });
}

/** Node.js would refuse one it does not know without a body; a hook does it in the envelope. */
function takeAnyExpectation({ server }: App): void {
  server.on("checkExpectation", (request, response) => server.emit("request", request, response));
}

function takeJsonBodies(app: App): void {
  app.removeAllContentTypeParsers();
  const parseAs = "buffer";
  app.addContentTypeParser("application/json", { parseAs }, async (_: unknown, body: Buffer) =>
    // SDKs announce JSON and send nothing where no body is needed.
    body.length === 0 ? undefined : parseJson(body),
  );
  app.addContentTypeParser("*", { parseAs }, async (request: FastifyRequest, body: Buffer) => {
    if (body.length > 0) throw unsupportedContentType(request, "application/json");
  });
  app.addHook("preValidation", async (request) => {
    // No body is an object without members: then the refusal names the first one missing.
    if (request.routeOptions.schema?.body !== undefined) request.body ??= {};
  });
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(utf8.decode(body));
  } catch (error) {
    throw malformedJson((error as Error).message);
  }
}

function addHooks(app: App, { metrics, keys, anyHost }: AppParts): void {
  app.addHook("onRequest", async (request, reply) => {
    reply.headers(commonHeaders(request));
    const refusal = headerRefusal(request);
    if (refusal !== undefined) throw refusal;
    await admit(request, keys, anyHost);
    if (request.is404) throw invalidUrl(request);
  });
  app.addHook("preClose", async () => {
    setTimeout(() => app.server.closeAllConnections(), CLOSING_MS).unref();
  });
  // A client that has said all it has to say may close its side, and still wants its answer.
  Object.assign(app.server, { httpAllowHalfOpen: true });
  app.addHook("onSend", async (_request, reply) => {
    reply.header("openai-processing-ms", Math.round(reply.elapsedTime));
  });
  app.addHook("onResponse", async (request, reply) => {
    const { statusCode: status } = reply;
    const route = routeOf(request);
    metrics.httpRequests.inc({ method: request.method, route, status });
    const level = status >= 500 ? "warn" : request.method === "GET" ? "debug" : "info";
    const durationMs = Math.round(reply.elapsedTime);
    request.log[level](
      {
        method: request.method,
        route,
        status,
        project: projectOf(request),
        duration_ms: durationMs,
      },
      "request",
    );
  });
}

function commonHeaders(request: { id: string }) {
  return {
    "x-request-id": request.id,
    "openai-version": "2020-10-01",
    "openai-processing-ms": 0,
    "x-content-type-options": "nosniff",
  };
}

/** Undefined where there is none: what everybody may ask, and what was refused for its key. */
function projectOf({ projectId }: FastifyRequest): string | undefined {
  return projectId === "" ? undefined : projectId;
}

/** The route's pattern, for paths are without number. */
function routeOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? "unknown";
}
