// Who may use the server. There are no API keys yet: any key, or none, is accepted, and every request
// belongs to the one project. What is refused is a web page of somebody else's in a user's browser.
import type { FastifyRequest } from "fastify";
import { ApiError } from "../core/api-error.ts";
import { isLoopback } from "../core/loopback.ts";

export const DEFAULT_PROJECT = "default";

declare module "fastify" {
  interface FastifyRequest {
    projectId: string;
  }
}

/**
 * Throws ApiError 403 for what a foreign web page could make a browser send.
 * @param anyHost false while the server listens on loopback only: then a name that is not loopback's
 * means that the page's name was rebound to this machine
 */
export function refuseForeignPages({ headers }: FastifyRequest, anyHost: boolean): void {
  const host = headers.host ?? "";
  if (!anyHost && !isLoopback(hostName(host))) {
    throw new ApiError(
      403,
      `Host '${host.slice(0, 100)}' is not this machine. The server serves this machine only: use ` +
        "http://127.0.0.1, or start it with --insecure-no-auth if whoever can reach it may use it.",
      { code: "host_not_allowed" },
    );
  }
  const { origin } = headers;
  if (origin !== undefined && originHost(origin) !== host.toLowerCase()) {
    throw new ApiError(
      403,
      `Requests from web pages of another origin ('${origin.slice(0, 100)}') are refused.`,
      { code: "origin_not_allowed" },
    );
  }
}

function hostName(host: string): string {
  return host.replace(/:\d*$/, "");
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
