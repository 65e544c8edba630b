// Batches as clients use them: create, look, list, cancel. Everything that takes longer than a
// statement is the engine's, which is woken by a signal.
import { ApiError } from "../core/api-error.ts";
import type { Batch } from "../core/batch.ts";
import type { Clock } from "../core/clock.ts";
import type { IdempotentRequest } from "../core/idempotency-store.ts";
import { newBatchId } from "../core/ids.ts";
import { type ProjectLimits, windowSeconds } from "../core/project.ts";
import type { Signals } from "../core/signals.ts";
import { type BatchQuery, type BatchStore, NotFoundError, type Page } from "../core/store.ts";

export interface BatchServiceParts {
  batches: BatchStore;
  signals: Signals;
  clock: Clock;
  limitsOf: (projectId: string) => Pick<ProjectLimits, "batchesPerHour" | "completionWindows">;
}

export interface BatchRequest {
  inputFileId: string;
  endpoint: string;
  /** One of `completionWindows(projectId)`. */
  completionWindow: string;
  metadata: Record<string, string> | null;
  /** Lifetime of the output and error file, from their own creation. */
  outputExpiresAfterSeconds: number | null;
}

export class BatchService {
  readonly #parts: BatchServiceParts;

  constructor(parts: BatchServiceParts) {
    this.#parts = parts;
  }

  /** What `completionWindow` may be in this project. */
  completionWindows(projectId: string): readonly string[] {
    return this.#parts.limitsOf(projectId).completionWindows;
  }

  /**
   * Makes a batch in status `validating`. Whether the input file exists is not asked: as with
   * OpenAI, a batch whose file can't be had fails later, with an entry in its errors.
   */
  async create(
    projectId: string,
    request: BatchRequest,
    idempotent?: IdempotentRequest,
  ): Promise<Batch> {
    const { batches, signals, clock, limitsOf } = this.#parts;
    const seconds = windowSeconds(request.completionWindow);
    if (seconds === undefined) {
      throw new RangeError(`Not a completion window: ${request.completionWindow}`);
    }
    const createdAt = clock.now();
    const batch = await batches.insert(
      {
        ...request,
        id: newBatchId(createdAt),
        projectId,
        createdAt,
        expiresAt: createdAt + seconds * 1_000,
      },
      { maxPerHour: limitsOf(projectId).batchesPerHour, idempotent },
    );
    signals.emit("batch-created");
    return batch;
  }

  async get(projectId: string, id: string): Promise<Batch> {
    return (await this.#parts.batches.get(projectId, id)) ?? noSuchBatch(id, null);
  }

  /** Newest first. @param query.after exclusive */
  async list(projectId: string, query: BatchQuery): Promise<Page<Batch>> {
    try {
      return await this.#parts.batches.list(projectId, query);
    } catch (error) {
      if (error instanceof NotFoundError) noSuchBatch(query.after ?? "", "after");
      throw error;
    }
  }

  /** Asks for the end of a batch. One that is being cancelled, or is, stays as it is. */
  async cancel(projectId: string, id: string): Promise<Batch> {
    const { batches, signals, clock } = this.#parts;
    const batch = await batches.requestCancel(projectId, id, clock.now());
    if (batch === undefined) return noSuchBatch(id, null);
    if (batch.status !== "cancelling" && batch.status !== "cancelled") {
      throw new ApiError(409, `Cannot cancel a batch with status '${batch.status}'.`);
    }
    signals.emit("batch-ending");
    return batch;
  }
}

function noSuchBatch(id: string, param: "after" | null): never {
  throw new ApiError(404, `No batch found with id '${id}'.`, { param });
}
