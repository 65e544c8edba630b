// The one place where an error becomes a response. Refusals are told as they are; anything else is a
// fault of the server, of which the client learns the request id and the log learns the rest.
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { FastifySchemaValidationError } from "fastify/types/schema.js";
import { ApiError } from "../core/api-error.ts";
import { newHttpRequestId } from "../core/ids.ts";
import { StorageUnavailableError } from "../core/store.ts";
import { drain } from "./drain.ts";
import { limitRefusal } from "./limit-refusals.ts";
import { schemaRefusal } from "./schema-errors.ts";
import { TemporaryRefusal } from "./temporary-refusal.ts";
import { errorToWire } from "./wire.ts";

const JSON_TYPE = "application/json; charset=utf-8";

/** What Fastify and its plugins throw. */
interface FrameworkError extends Error {
  code?: string;
  statusCode?: number;
  validation?: FastifySchemaValidationError[];
}

/** Answers a request with the error, in OpenAI's envelope. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const refusal = toRefusal(error, request);
  const answer = refusal ?? serverFault(request);
  const isFault = refusal === undefined || error instanceof StorageUnavailableError;
  if (isFault) request.log.error({ err: error }, "request failed");
  // The framework closes the connection after an early answer, which could destroy the answer on its
  // way; reading on lets it arrive.
  if (reply.hasHeader("connection")) reply.removeHeader("connection");
  drain(request.raw);
  if (answer instanceof TemporaryRefusal) reply.header("retry-after", answer.retryAfterSeconds);
  // SDKs repeat a 409 unless they are told that it's no use.
  else if (answer.status === 409) reply.header("x-should-retry", "false");
  void reply.code(answer.status).type(JSON_TYPE).send(errorToWire(answer));
}

export function invalidUrl({ method, url }: FastifyRequest): ApiError {
  return new ApiError(404, `Invalid URL (${method} ${pathOf(url)})`);
}

export function invalidMethod({ method, url }: FastifyRequest): ApiError {
  return new ApiError(405, `Invalid method for URL (${method} ${pathOf(url)})`);
}

export function unsupportedContentType(request: FastifyRequest, expected: string): ApiError {
  const came = request.headers["content-type"] ?? "";
  return new ApiError(
    400,
    `Unsupported content type: '${came.slice(0, 100)}'. ${request.method} ${pathOf(request.url)} takes ${expected}.`,
    { code: "unsupported_content_type" },
  );
}

/** What every request must have, and what none may ask for; undefined when all is well. */
export function headerRefusal({ headers, raw }: FastifyRequest): ApiError | undefined {
  if (headers.host === undefined && raw.httpVersion === "1.1") {
    return new ApiError(400, "Your request has no Host header, which HTTP/1.1 requires.");
  }
  const { expect } = headers;
  if (expect === undefined || /100-continue/i.test(expect)) return undefined;
  return new ApiError(
    417,
    `Unsupported Expect header: '${expect.slice(0, 100)}'. The server knows 100-continue only.`,
  );
}

export function malformedJson(reason: string): ApiError {
  return new ApiError(
    400,
    `We could not parse the JSON body of your request. Expected valid JSON in UTF-8: ${reason}.`,
  );
}

const connectionRefusals: Readonly<Record<string, [status: number, reason: string]>> = {
  HPE_HEADER_OVERFLOW: [431, "its headers are too large"],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "it took too long"],
};

/** Answers what is not even an HTTP request, and closes the connection. */
export function answerBrokenConnection({ code = "" }: { code?: string }, socket: Socket): void {
  if (code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason] = connectionRefusals[code] ?? [400, "it is malformed"];
  const refusal = new ApiError(status, `We could not read your HTTP request: ${reason}.`);
  const body = JSON.stringify(errorToWire(refusal));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: ${JSON_TYPE}\r\n` +
      `x-request-id: ${newHttpRequestId()}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `connection: close\r\n\r\n${body}`,
  );
}

function pathOf(url: string): string {
  return url.split("?", 1)[0] as string;
}

/** Undefined for what is no refusal. */
function toRefusal(error: unknown, request: FastifyRequest): ApiError | undefined {
  if (error instanceof ApiError) return error;
  const limit = limitRefusal(error);
  if (limit !== undefined) return limit;
  const { code, statusCode, validation, message } = error as FrameworkError;
  if (validation !== undefined) return schemaRefusal(validation);
  switch (code) {
    case "FST_ERR_BAD_URL":
    case "FST_ERR_MAX_PARAM_LENGTH":
      return invalidUrl(request);
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return unsupportedContentType(request, "application/json");
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return bodyTooLarge(request);
    default: {
      const isRefusal = statusCode !== undefined && statusCode >= 400 && statusCode < 500;
      return isRefusal ? new ApiError(statusCode, message) : undefined;
    }
  }
}

function bodyTooLarge({ method, url, routeOptions }: FastifyRequest): ApiError {
  return new ApiError(
    413,
    `The request body is too large. ${method} ${pathOf(url)} takes at most ${routeOptions.bodyLimit} bytes.`,
  );
}

function serverFault({ id }: FastifyRequest): ApiError {
  return new ApiError(
    500,
    `The server had an error while processing your request. Its log has the cause under ${id}.`,
  );
}
