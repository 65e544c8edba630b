// Everything the cases need, started here: a server with keys and projects of several kinds, one with
// other settings, one that reaches no upstream, the simulator behind them, and a receiver of webhooks.
import { Simulator } from "../../src/simulator/simulator.ts";
import { SIMULATED_MODEL } from "../support/input-file.ts";
import { ServerProcess, upstream } from "../support/server-process.ts";
import { openWorkplace } from "../support/workplace.ts";
import {
  ALIAS,
  BATCHES_PER_HOUR,
  type Surroundings,
  otherEndpoints,
  otherSettings,
  smallProject,
} from "./case.ts";
import { Receiver } from "./receiver.ts";
import { Target, type TargetOptions } from "./target.ts";

const ADMIN_KEY = "the-key-of-the-administrator";
const ALL_ENDPOINTS = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/images/edits",
  "/v1/images/generations",
  "/v1/moderations",
  "/v1/responses",
  "/v1/videos",
];
/** Nothing listens there. */
const NOWHERE = "http://127.0.0.1:9/v1";
/** Lines that hang are given up so long after a cancel. */
const CANCEL_GRACE_MS = 300;

export interface Stage extends AsyncDisposable {
  target: Target;
  surroundings: Surroundings;
}

export async function openStage(): Promise<Stage> {
  await using resources = new AsyncDisposableStack();
  const simulator = new Simulator({ models: [SIMULATED_MODEL], outputTokens: 5 });
  const { baseUrl } = await simulator.start();
  resources.defer(() => simulator.stop());
  const receiver = resources.use(await Receiver.start());

  const start = async (config: Record<string, unknown>): Promise<string> => {
    const place = resources.use(openWorkplace());
    const options = { folder: place.path("."), config };
    return resources.use(await ServerProcess.start(options)).url;
  };
  const url = await start({
    upstreams: [upstream(baseUrl, { endpoints: ALL_ENDPOINTS })],
    admin_key: ADMIN_KEY,
    allow_private_addresses: true,
    cancel_grace_ms: CANCEL_GRACE_MS,
    projects: {
      short: { completion_windows: ["24h", "1m"] },
      small: smallProject,
      limited: { batches_per_hour: BATCHES_PER_HOUR },
    },
  });
  const otherUrl = await start({
    ...otherSettings,
    upstreams: [upstream(baseUrl, { endpoints: otherEndpoints })],
    model_aliases: { [ALIAS]: SIMULATED_MODEL },
  });
  const unreachableUrl = await start({
    upstreams: [upstream(NOWHERE)],
    cancel_grace_ms: CANCEL_GRACE_MS,
  });

  const target = (serverUrl: string, apiKey: string, more: Partial<TargetOptions> = {}) =>
    new Target({ baseUrl: `${serverUrl}/v1`, apiKey, model: SIMULATED_MODEL, ...more });
  const keyOf = async (project: string) =>
    (await administer<{ key: string }>(url, "keys", { project })).key;
  const unreachable = target(unreachableUrl, "any");
  const surroundings: Surroundings = {
    offpeak: true,
    simulator: true,
    "other-project": target(url, await keyOf("other")),
    "short-window": target(url, await keyOf("short")),
    "unreachable-upstream": unreachable,
    "other-settings": target(otherUrl, "any"),
    "small-project": target(url, await keyOf("small")),
    "rate-limit": target(url, await keyOf("limited")),
    "open-server": unreachable,
    "admin-key": target(url, ADMIN_KEY),
    "webhook-receiver": receiver,
  };
  const hook = (project: string) => ({ project, url: receiver.url });
  await administer(url, "webhooks", hook("short"));
  const { secret } = await administer<{ secret: string }>(url, "webhooks", hook("main"));
  receiver.secret = secret;

  const owned = resources.move();
  return {
    target: target(url, await keyOf("main"), { surroundings }),
    surroundings,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function administer<T>(url: string, what: string, body: object): Promise<T> {
  const answer = await fetch(`${url}/admin/v1/${what}`, {
    method: "POST",
    headers: { authorization: `Bearer ${ADMIN_KEY}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`POST /admin/v1/${what}: ${await answer.text()}`);
  return (await answer.json()) as T;
}
