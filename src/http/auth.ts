// Who may use the server: everybody who reaches it while it has no API keys, and then whoever has one. What
// is refused in any case is a web page of somebody else's in a user's browser.
import type { FastifyRequest } from "fastify";
import { ApiError } from "../core/api-error.ts";
import { isLoopback } from "../core/loopback.ts";
import { DEFAULT_PROJECT } from "../core/project.ts";
import type { ApiKeys } from "../projects/api-keys.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Of the routes under /v1: whose objects the request is about. */
    projectId: string;
  }
}

const API = "/v1/";
const ADMIN_API = "/admin/v1/";

/**
 * Sets `projectId`, or throws ApiError 401 or 403. Routes outside /v1 and /admin/v1 (health, metrics, the
 * OpenAPI document) are for everybody.
 * @param anyHost false while the server listens on loopback only
 */
export async function admit(
  request: FastifyRequest,
  keys: ApiKeys,
  anyHost: boolean,
): Promise<void> {
  const { url = "" } = request.routeOptions;
  const isForKeys = url.startsWith(API) || url.startsWith(ADMIN_API);
  // Health and metrics are there for those who find out that the Store is not.
  const isOpen = isForKeys ? await keys.isOpen() : keys.wasOpen;
  refuseForeignPages(request, anyHost || !isOpen);
  if (url.startsWith(ADMIN_API)) {
    if (!keys.hasAdmin) throw noAdmin();
    const { kind } = await keys.identify(bearerOf(request));
    if (kind !== "admin") throw notForProjects();
  } else if (url.startsWith(API)) {
    const identity = isOpen ? undefined : await keys.identify(bearerOf(request));
    if (identity?.kind === "admin") throw notForAdmin();
    request.projectId = identity?.projectId ?? DEFAULT_PROJECT;
  }
}

function bearerOf({ headers }: FastifyRequest): string | undefined {
  const [, key] = /^bearer +(\S+) *$/i.exec(headers.authorization ?? "") ?? [];
  return key;
}

function noAdmin(): ApiError {
  return new ApiError(
    403,
    "The admin API is closed, because the server has no admin key. Start it with OFFPEAK_ADMIN_KEY set, " +
      "or use `offpeak keys` and `offpeak webhooks` where its data is.",
    { code: "admin_api_closed" },
  );
}

function notForProjects(): ApiError {
  return new ApiError(403, "The admin API takes the admin key only, not a project's API key.", {
    code: "admin_key_required",
  });
}

function notForAdmin(): ApiError {
  return new ApiError(
    403,
    "The admin key belongs to no project, so it has no files or batches. Use a project's API key; " +
      "POST /admin/v1/keys makes one.",
    { code: "project_key_required" },
  );
}

/** @param anyHost false: a name that is not loopback's means that a page's name was rebound to this machine */
function refuseForeignPages({ headers }: FastifyRequest, anyHost: boolean): void {
  const host = headers.host ?? "";
  if (!anyHost && !isLoopback(hostName(host))) {
    throw new ApiError(
      403,
      `Host '${host.slice(0, 100)}' is not this machine. The server serves this machine only: use ` +
        "http://127.0.0.1, or make API keys with `offpeak keys create --project NAME`.",
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
