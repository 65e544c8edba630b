// The one check of the key that a simulator may be started with.
import type { IncomingMessage } from "node:http";
import type { SimulatorSettings } from "./options.ts";
import { type Refusal, refusal } from "./refusal.ts";

/** A 401 for a request without the right bearer token; undefined where it has it, or none is wanted. */
export function keyRefusal(
  { apiKey }: SimulatorSettings,
  request: IncomingMessage,
): Refusal | undefined {
  const given = request.headers.authorization;
  if (apiKey === undefined || given === `Bearer ${apiKey}`) return undefined;
  const message =
    `Expected the header "Authorization: Bearer …" with the key this simulator was started with, ` +
    `got ${given === undefined ? "none" : "another"}.`;
  return refusal(401, message, "invalid_api_key");
}
