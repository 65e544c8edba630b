// Makes the parts that run batches from the configuration, for whichever process runs them: the serving
// one, or each of its workers. Like `main.ts` it knows the adapters.

import type { Config } from "../config/config.ts";
import { projectLimitsOf } from "../config/project-config.ts";
import type { BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import type { Signals } from "../core/signals.ts";
import type { Store } from "../core/store.ts";
import { Engine } from "../engine/engine.ts";
import type { SharedTurn } from "../lanes/exclusive-use.ts";
import { Lanes, type LimitShare, wholeLimit } from "../lanes/lanes.ts";
import { fetchRemoteFile } from "../network/remote-file.ts";
import type { Log } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { HttpUpstream } from "../upstream/http-upstream.ts";

export interface EngineSurroundings {
  config: Config;
  store: Store;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** What a process has of upstreams to which others send too. */
export interface SharedUpstreams {
  turnOf?: ((upstream: string) => SharedTurn) | undefined;
  share?: LimitShare | undefined;
}

/** All lanes, started. */
export async function startLanes(
  { config, store, ...surroundings }: EngineSurroundings,
  { turnOf, share = wholeLimit }: SharedUpstreams = {},
): Promise<{ lanes: Lanes; close: () => Promise<void> }> {
  const upstreams = config.upstreams.map(({ apiKey, models, ...upstream }) => ({
    concurrency: upstream.concurrency,
    turn: turnOf?.(upstream.name),
    upstream: new HttpUpstream({
      ...upstream,
      apiKey: apiKey?.reveal() ?? null,
      models: models ?? null,
      requestTimeoutMs: config.requestTimeoutMs,
      answerSizeBytes: config.limits.answerSizeBytes,
      clock: surroundings.clock,
    }),
  }));
  const lanes = new Lanes({
    ...surroundings,
    upstreams,
    share,
    modelAliases: config.modelAliases,
    models: store.models,
  });
  await lanes.start();
  return {
    lanes,
    close: async () => {
      lanes.close();
      for (const { upstream } of upstreams) await upstream.close();
    },
  };
}

export function engineOf(
  { config, ...surroundings }: EngineSurroundings,
  parts: { nodeId: string; blobs: BlobStore; lanes: Lanes; signals: Signals },
): Engine {
  return new Engine({
    ...surroundings,
    ...parts,
    settings: config,
    limitsOf: (projectId) => projectLimitsOf(config, projectId),
    fetchRemote: (url, options) =>
      fetchRemoteFile(url, { ...options, allowPrivate: config.allowPrivateAddresses }),
  });
}
