// All lanes of a node: which upstreams serve a model, what is known of them, and the lane for each
// pair. Keeps the list of models fresh.

import type { Clock } from "../core/clock.ts";
import type { LaneLoad } from "../core/node-store.ts";
import { backoffMs } from "../core/retry.ts";
import type { ModelStore } from "../core/store.ts";
import type { Upstream } from "../core/upstream.ts";
import type { Log } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { ExclusiveUse, type SharedTurn } from "./exclusive-use.ts";
import { type ConcurrencyLimit, Lane } from "./lane.ts";

export interface LanesOptions {
  upstreams: readonly {
    upstream: Upstream;
    concurrency: number;
    /** Where other processes send to the upstream too. */
    turn?: SharedTurn | undefined;
  }[];
  share: LimitShare;
  modelAliases: Readonly<Record<string, string>>;
  models: ModelStore;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** This process's part of limits that several may divide. */
export interface LimitShare {
  of(limit: number): number;
  /** False while that can't be relied on. */
  readonly isTrusted: boolean;
}

/** Of the only process. */
export const wholeLimit: LimitShare = { of: (limit) => limit, isTrusted: true };

interface Member {
  upstream: Upstream;
  exclusiveUse: ExclusiveUse;
  limit: ConcurrencyLimit;
  /** Null: none known yet, because discovery has never succeeded. */
  models: ReadonlySet<string> | null;
  /** Whether the Store has them too. */
  areStored: boolean;
  /** Why the last discovery failed. */
  problem: string | null;
  failures: number;
  timer: NodeJS.Timeout | null;
}

/** What a lane or upstream is waiting for, for people and probes. */
export interface LaneReport {
  upstream: string;
  /** Null: the upstream as a whole. */
  model: string | null;
  state: "ok" | "paused" | "models-unknown";
  /** Null: nothing is in the way. */
  reason: string | null;
}

const REDISCOVER_MS = 60_000;
const DISCOVERY_RETRY = { baseMs: 500, maxMs: 15_000 };

export class Lanes {
  readonly #options: LanesOptions;
  readonly #members: Member[];
  /** A map, for names come from users: an object has a "constructor" of its own. */
  readonly #aliases: ReadonlyMap<string, string>;
  readonly #lanes = new Map<string, Lane>();
  readonly #listeners = new Set<() => void>();
  #shares = "";
  #closed = false;

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#aliases = new Map(Object.entries(options.modelAliases));
    this.#members = options.upstreams.map(({ upstream, concurrency, turn }) => ({
      upstream,
      exclusiveUse: new ExclusiveUse(turn),
      limit: {
        current: () => options.share.of(concurrency),
        get isTrusted() {
          return options.share.isTrusted;
        },
      },
      models: upstream.configuredModels && new Set(upstream.configuredModels),
      areStored: false,
      problem: null,
      failures: 0,
      timer: null,
    }));
  }

  /** Loads what earlier discoveries found and begins to ask again. Doesn't wait for any upstream. */
  async start(): Promise<void> {
    const stored = await this.#options.models.all();
    for (const member of this.#members) {
      if (member.upstream.configuredModels) continue;
      const models = stored.get(member.upstream.name);
      if (models) {
        member.models = new Set(models);
        member.areStored = true;
      }
      void this.#discover(member);
    }
  }

  /** Calls `listener` when models become known, shares change, or a lane pauses or goes on. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** The model's name at the upstreams: aliases applied. */
  resolve(requestedModel: string): string {
    return this.#aliases.get(requestedModel) ?? requestedModel;
  }

  /** Whether some upstream serves the model at the endpoint. The empty model stands for "none named". */
  serves(endpoint: string, model: string): boolean {
    return this.#serving(endpoint, model).length > 0;
  }

  /** Whether some upstream serves the endpoint at all, for whatever model. */
  servesEndpoint(endpoint: string): boolean {
    return this.#members.some(({ upstream }) => upstream.endpoints.includes(endpoint));
  }

  /** The names a client may use at the endpoint (at all of them without one): models and aliases. */
  names(endpoint?: string): string[] {
    const names = new Set<string>();
    for (const { upstream, models } of this.#members) {
      if (endpoint !== undefined && !upstream.endpoints.includes(endpoint)) continue;
      for (const model of models ?? []) names.add(model);
    }
    for (const [alias, model] of this.#aliases) {
      if (names.has(model)) names.add(alias);
    }
    return [...names].sort();
  }

  /** Why it can't be said yet which models the endpoint has: an upstream was never reached. Null when all is known. */
  unknownBecause(endpoint: string): string | null {
    const unknown = this.#members.find(
      ({ upstream, models }) => models === null && upstream.endpoints.includes(endpoint),
    );
    if (!unknown) return null;
    const problem = unknown.problem ?? "no answer yet";
    return `waiting for upstream ${unknown.upstream.name} to list its models (${problem})`;
  }

  /** The lanes on which the model's requests to the endpoint can be sent. */
  lanesFor(endpoint: string, model: string): Lane[] {
    return this.#serving(endpoint, model).map((member) => this.#lane(member, model));
  }

  /** Why no lane takes the model's requests at present; null when one does. */
  pausedBecause(endpoint: string, model: string): string | null {
    const lanes = this.lanesFor(endpoint, model);
    const reasons = lanes.map((lane) => lane.pausedBecause(endpoint));
    if (reasons.includes(null)) return null;
    return reasons[0] ?? `no upstream serves the model '${model}' at ${endpoint} any more`;
  }

  /** The state of every upstream and of every lane that was used. */
  report(): LaneReport[] {
    const upstreams = this.#members.map(({ upstream, models, problem }): LaneReport => {
      const isKnown = models !== null;
      const reason = isKnown ? null : (problem ?? "no answer yet");
      return {
        upstream: upstream.name,
        model: null,
        state: isKnown ? "ok" : "models-unknown",
        reason,
      };
    });
    const lanes = [...this.#lanes.values()].map((lane): LaneReport => {
      const { upstream, model, reason } = lane;
      return { upstream: upstream.name, model, state: reason === null ? "ok" : "paused", reason };
    });
    return [...upstreams, ...lanes];
  }

  /** What every lane that was used has in flight, and may have. */
  loads(): LaneLoad[] {
    return [...this.#lanes.values()].map(({ upstream, model, inFlight, concurrency }) => ({
      upstream: upstream.name,
      model,
      inFlight,
      limit: concurrency,
    }));
  }

  /** Has all lanes look whether they may send more, or less: the shares may have changed. */
  sharesChanged(): void {
    for (const lane of this.#lanes.values()) lane.pump();
    const shares = JSON.stringify(this.#members.map(({ limit }) => limit.current()));
    if (shares === this.#shares) return;
    this.#shares = shares;
    this.#changed();
  }

  /** Brings the gauge of requests in flight up to date: to be called before it is read. */
  publishInFlight(): void {
    for (const { upstream, model, inFlight } of this.#lanes.values()) {
      this.#options.metrics.requestsInFlight.set({ upstream: upstream.name, model }, inFlight);
    }
  }

  #serving(endpoint: string, model: string): Member[] {
    return this.#members.filter(({ upstream, models }) => {
      return upstream.endpoints.includes(endpoint) && (model === "" || models?.has(model) === true);
    });
  }

  #lane(member: Member, model: string): Lane {
    const key = JSON.stringify([member.upstream.name, model]);
    let lane = this.#lanes.get(key);
    if (!lane) {
      lane = new Lane({
        upstream: member.upstream,
        model,
        limit: member.limit,
        exclusiveUse: member.exclusiveUse,
        clock: this.#options.clock,
        onPause: (reason, before) => this.#showPause(member.upstream.name, model, reason, before),
      });
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  #showPause(upstream: string, model: string, reason: string | null, before: string | null): void {
    const { log, metrics } = this.#options;
    if (reason === null) log.info({ upstream, model }, "lane goes on");
    else log.warn({ upstream, model, reason }, "lane paused");
    if (before !== null) metrics.lanePaused.remove({ upstream, model, reason: before });
    if (reason !== null) metrics.lanePaused.set({ upstream, model, reason }, 1);
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  async #discover(member: Member): Promise<void> {
    const { upstream } = member;
    const found = await upstream.discover();
    if (this.#closed) return;
    if (found.ok) {
      if (member.problem !== null)
        this.#options.log.info({ upstream: upstream.name }, "upstream answers");
      member.problem = null;
      member.failures = 0;
      await this.#learn(member, found.models);
    } else {
      if (member.problem === null) {
        this.#options.log.warn(
          { upstream: upstream.name, detail: found.detail },
          "upstream does not list its models; will ask again",
        );
      }
      member.problem = found.detail;
      member.failures++;
    }
    const waitMs = found.ok
      ? REDISCOVER_MS
      : backoffMs(member.failures, DISCOVERY_RETRY, Math.random());
    if (!this.#closed) member.timer = setTimeout(() => void this.#discover(member), waitMs);
  }

  async #learn(member: Member, models: string[]): Promise<void> {
    const known = member.models;
    const { name } = member.upstream;
    if (known?.size !== models.length || !models.every((model) => known.has(model))) {
      member.models = new Set(models);
      member.areStored = false;
      this.#options.log.info({ upstream: name, models: models.slice(0, 20) }, "models known");
      this.#changed();
    }
    if (member.areStored) return;
    try {
      await this.#options.models.save(name, models, this.#options.clock.now());
      member.areStored = true;
    } catch (error) {
      this.#options.log.warn({ err: error, upstream: name }, "could not store the models found");
    }
  }

  close(): void {
    this.#closed = true;
    for (const { timer } of this.#members) if (timer) clearTimeout(timer);
    for (const lane of this.#lanes.values()) lane.close();
  }
}
