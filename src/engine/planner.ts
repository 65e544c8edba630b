// Takes batches that are `validating`, one after the other: checks their input, writes the plan,
// and turns them `in_progress` or `failed`.

import type { ValidationError } from "../core/batch.ts";
import { blobKeys, type BlobStore } from "../core/blob-store.ts";
import type { Clock } from "../core/clock.ts";
import { findEndpoint } from "../core/endpoints.ts";
import type { StoredFile } from "../core/file.ts";
import type { Limits } from "../core/limits.ts";
import type { ProjectLimits } from "../core/project.ts";
import { excerpt } from "../core/request-line.ts";
import type { Signals } from "../core/signals.ts";
import {
  type BatchClaim,
  type ClaimedBatch,
  ConflictError,
  LeaseLostError,
  LimitExceededError,
  type Store,
} from "../core/store.ts";
import type { Lanes } from "../lanes/lanes.ts";
import type { Log } from "../observability/log.ts";
import type { Leases } from "./leases.ts";
import { buildPlan } from "./plan-builder.ts";
import { PlanningThread } from "./planning-thread.ts";

export interface PlannerOptions {
  store: Store;
  blobs: BlobStore;
  lanes: Lanes;
  leases: Leases;
  signals: Signals;
  clock: Clock;
  log: Log;
  limits: Limits;
  limitsOf: (projectId: string) => ProjectLimits;
  allowSeveralModels: boolean;
  shardLines: number;
}

/** The claim is gone, or the batch no longer wants planning. */
class Superseded extends Error {
  override readonly name = "Superseded";
}

/** A model may be served by an upstream that has not been reached yet. */
class ModelsUnknown extends Error {
  override readonly name = "ModelsUnknown";
}

export class Planner {
  readonly #options: PlannerOptions;
  readonly #thread = new PlanningThread();

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  /** Plans every batch that can be planned now. */
  async tick(stopping: AbortSignal): Promise<void> {
    const { store, leases } = this.#options;
    const waiting: string[] = [];
    while (!stopping.aborted) {
      const claim = await store.batches.claimPlanning(leases.owner, leases.leaseMs, waiting);
      if (!claim) return;
      if ((await this.#plan(claim, stopping)) === "waiting") waiting.push(claim.batch.id);
    }
    await this.#thread.end();
  }

  async #plan(claim: BatchClaim, stopping: AbortSignal): Promise<"done" | "waiting"> {
    const { store, leases, log, signals } = this.#options;
    const { batch, epoch } = claim;
    const held = leases.holdBatch(batch.id, epoch);
    try {
      const result = await this.#examine(claim, () => {
        if (stopping.aborted || held.lost.aborted) throw new Superseded();
      });
      if (batch.waitingReason !== null) await store.batches.setWaitingReason([batch.id], null);
      log.info({ batch_id: batch.id, ...result.about }, `batch ${result.kind}`);
      signals.emit(result.kind === "planned" ? "batch-planned" : "batch-ended");
    } catch (error) {
      if (error instanceof ModelsUnknown) {
        await store.batches.setWaitingReason([batch.id], error.message);
        await store.batches.releaseClaim(batch.id, epoch);
        return "waiting";
      }
      if (error instanceof Superseded || error instanceof ConflictError) {
        // Cancelled meanwhile, or this node stops: whoever comes next starts anew.
        await this.#options.blobs.delete(blobKeys.plan(batch.id, epoch));
        await store.batches.releaseClaim(batch.id, epoch);
        signals.emit("batch-ending");
      } else if (!(error instanceof LeaseLostError)) {
        // The claim is left to run out, which makes the pause before the next try.
        const reason = error instanceof Error ? error.message : String(error);
        await store.batches.setWaitingReason([batch.id], `its input can't be read: ${reason}`);
        log.error({ err: error, batch_id: batch.id }, "batch can't be planned; will try again");
      }
    } finally {
      held.release();
    }
    return "done";
  }

  async #examine(
    { batch, epoch }: BatchClaim,
    checkpoint: () => void,
  ): Promise<{ kind: "planned" | "failed"; about: Record<string, unknown> }> {
    const { store, blobs, clock, lanes, limits } = this.#options;
    const refuse = async (errors: ValidationError[]) => {
      await store.batches.failValidation(batch.id, epoch, errors, clock.now());
      return { kind: "failed" as const, about: { errors: errors.length, code: errors[0]?.code } };
    };
    const found = await this.#findInput(batch);
    if (!("file" in found)) return refuse([found]);
    const { file } = found;
    if (file.sizeBytes > limits.batchFileSizeBytes) {
      const message = `The batch input file is larger than the ${limits.batchFileSizeBytes} maximum.`;
      return refuse([wholeFile("file_too_large", message, null)]);
    }
    const endpoint = findEndpoint(batch.endpoint);
    // A batch past its window is planned all the same, so that every line gets its error line.
    const late = clock.now() >= batch.expiresAt;
    if (!endpoint || (!late && !lanes.servesEndpoint(endpoint.path))) {
      const message = `The provided url '${batch.endpoint}' is not supported by the Batch API. No upstream of this server serves it; offpeak.yaml says which do, under endpoints.`;
      return refuse([wholeFile("url_not_found", message, "url")]);
    }
    await store.batches.startPlanning(batch.id, epoch, clock.now());
    const serves = (requested: string): boolean => {
      if (late || lanes.serves(endpoint.path, lanes.resolve(requested))) return true;
      const reason = lanes.unknownBecause(endpoint.path);
      if (reason !== null) throw new ModelsUnknown(reason);
      return false;
    };
    const planKey = blobKeys.plan(batch.id, epoch);
    const plan = await buildPlan({
      blobs,
      thread: this.#thread,
      inputKey: file.blobKey,
      planKey,
      shardLines: this.#options.shardLines,
      checkpoint,
      resolve: (model) => lanes.resolve(model),
      rules: {
        endpoint,
        limits,
        allowSeveralModels: this.#options.allowSeveralModels,
        serves,
        servedModels: lanes.names(endpoint.path),
      },
    });
    if (!plan.ok) return refuse(plan.errors);
    const { total, promptTokens, models, shards } = plan;
    const model = models.length === 1 ? models[0] || null : null;
    const { queuedLines, queuedPromptTokens } = this.#options.limitsOf(batch.projectId);
    try {
      await store.batches.finishPlanning(batch.id, epoch, {
        planKey,
        total,
        promptTokens,
        model,
        shards,
        limits: { lines: queuedLines, promptTokens: queuedPromptTokens },
        at: clock.now(),
      });
    } catch (error) {
      if (!(error instanceof LimitExceededError)) throw error;
      await blobs.delete(planKey);
      return refuse([wholeFile("token_limit_exceeded", queueIsFull(batch, models, error), null)]);
    }
    return {
      kind: "planned",
      about: { lines: total, shards: shards.length, models: models.length },
    };
  }

  /** The input, or the one error that says why there is none. */
  async #findInput(batch: ClaimedBatch): Promise<{ file: StoredFile } | ValidationError> {
    const { files } = this.#options.store;
    const now = this.#options.clock.now();
    const file =
      batch.planningStartedAt === null
        ? await files.get(batch.projectId, batch.inputFileId, now)
        : await files.getRetained(batch.inputFileId);
    if (!file) {
      const message = `Cannot find file ${batch.inputFileId}, or project ${batch.projectId} does not have access to it.`;
      return wholeFile("invalid_request", message, "file_id");
    }
    if (file.purpose !== "batch") {
      const message = `File ${file.id} has the purpose '${file.purpose}'; the input of a batch must be uploaded with the purpose 'batch'.`;
      return wholeFile("invalid_request", message, "file_id");
    }
    return { file };
  }
}

/** OpenAI's wording, with the project in the place of the organization. */
function queueIsFull(
  { projectId, endpoint }: ClaimedBatch,
  models: readonly string[],
  { limit, allowed }: LimitExceededError,
): string {
  const what = limit === "queued-lines" ? "request" : "token";
  const others = models.length - 1;
  const model = (models[0] || endpoint) + (others > 0 ? ` and ${others} more` : "");
  return (
    `Enqueued ${what} limit reached for ${excerpt(model)} in organization ${projectId}. ` +
    `Limit: ${allowed.toLocaleString("en-US")} enqueued ${what}s. ` +
    "Please try again once some in_progress batches have been completed."
  );
}

function wholeFile(code: string, message: string, param: string | null): ValidationError {
  return { code, message, param, line: null };
}
