// Makes and sends the request of one line. Most endpoints take the bytes of the input file as they are, at
// once; for those with files or jobs there is more to do, and the line's permit is held all the while.

import { overlayBody } from "../core/body-overlay.ts";
import { type Endpoint, findEndpoint } from "../core/endpoints.ts";
import type { LineOutcome } from "../core/retry.ts";
import type { Rostered } from "../core/roster.ts";
import type { ShardClaim } from "../core/shard-store.ts";
import type { RunnableBatch } from "../core/store.ts";
import type { UpstreamCall } from "../core/upstream.ts";
import type { Lane, Permit } from "../lanes/lane.ts";
import type { Log } from "../observability/log.ts";
import { AttachmentError, type AttachedFiles } from "./attached-files.ts";
import { attachFiles, jsonBody, type RequestBody } from "./attachment-request.ts";
import { exchange, followJob } from "./job-follower.ts";
import type { HeldLease } from "./leases.ts";
import type { LoadedLine } from "./line-feed.ts";
import type { ResultRecorder } from "./result-recorder.ts";
import { readJobState, type StartedJob } from "./started-job.ts";
import type { TakenOver } from "./take-over.ts";

/** A line on its way. */
export interface Flight extends Rostered {
  line: LoadedLine;
  permit: Permit;
  requestId: string;
  /** Null until it is sent. */
  call: UpstreamCall | null;
}

export interface LineSenderOptions {
  claim: ShardClaim;
  batch: RunnableBatch;
  log: Log;
  lease: Pick<HeldLease, "trusted">;
  /** Where the shard's model is served. */
  lanes: readonly Lane[];
  files: AttachedFiles;
  takenOver: Pick<TakenOver, "started">;
  recorder: Pick<ResultRecorder, "recordStarted">;
}

export class LineSender {
  readonly #options: LineSenderOptions;
  readonly #endpoint: Endpoint;
  /** Jobs whose end is not recorded, by line number; those of earlier owners among them. */
  readonly #started: Map<number, StartedJob>;
  readonly #isAliased: boolean;
  /** Nothing but sending the body. */
  readonly #isPlain: boolean;
  readonly #mayStart = () => this.#options.lease.trusted();

  constructor(options: LineSenderOptions) {
    const { claim, batch, takenOver } = options;
    const endpoint = findEndpoint(batch.endpoint);
    if (!endpoint) throw new Error(`${batch.endpoint} can't be an endpoint`);
    this.#options = options;
    this.#endpoint = endpoint;
    this.#started = takenOver.started;
    this.#isAliased = claim.requestedModel !== claim.model;
    this.#isPlain = endpoint.attachments.length === 0 && !endpoint.isJob;
  }

  /** Sends the line and sets its call; answers the size of its body. `onOutcome` is called once, later. */
  send(flight: Flight, onOutcome: (outcome: LineOutcome) => void): number {
    const { model } = this.#options.claim;
    const path = this.#options.batch.endpoint;
    const { line, permit, requestId } = flight;
    const body = this.#isAliased ? overlayBody(line.body, { model }) : line.body;
    if (!this.#isPlain) {
      this.#sendInSteps(flight, body, onOutcome);
      return body.length;
    }
    const contentType = "application/json";
    flight.call = permit.lane.upstream.send(
      {
        method: "POST",
        path,
        contentType,
        body,
        replica: null,
        requestId,
        mayStart: this.#mayStart,
      },
      onOutcome,
    );
    return body.length;
  }

  #sendInSteps(flight: Flight, body: Uint8Array, onOutcome: (outcome: LineOutcome) => void): void {
    const controller = new AbortController();
    const { promise: aborted, resolve: abort } = Promise.withResolvers<LineOutcome>();
    flight.call = {
      abort: () => {
        controller.abort();
        abort({ kind: "aborted" });
      },
    };
    // Whatever step it is in, an abort is told at once.
    void Promise.race([this.#run(flight, body, controller.signal), aborted]).then(onOutcome);
  }

  async #run(flight: Flight, body: Uint8Array, signal: AbortSignal): Promise<LineOutcome> {
    const { line, permit, requestId } = flight;
    const { upstream } = permit.lane;
    const begun = this.#started.get(line.lineNumber);
    if (begun) return this.#follow(flight, begun, { hasAnswered: false, signal });
    let prepared: RequestBody;
    try {
      prepared = await this.#prepare(permit, body, signal);
    } catch (error) {
      if (error instanceof AttachmentError) return error.outcome;
      const { claim, log } = this.#options;
      const about = { err: error, batch_id: claim.batchId, line: line.lineNumber };
      if (!signal.aborted) log.error(about, "a file that a line refers to can't be read");
      const message = "A file of this request could not be read. The server's log says why.";
      return { kind: "unprepared", code: "invalid_file", message };
    }
    const { path, isJob } = this.#endpoint;
    const outcome = await exchange(
      upstream,
      { method: "POST", path, ...prepared, replica: null, requestId, mayStart: this.#mayStart },
      signal,
    );
    const state = isJob ? readJobState(outcome) : null;
    if (outcome.kind !== "answer" || !state || state.hasEnded || signal.aborted) return outcome;
    const job = { upstream: upstream.name, replica: outcome.replica, id: state.id };
    this.#started.set(line.lineNumber, job);
    const { recorder } = this.#options;
    // Once this is durable a crash costs nothing: who comes next follows the job.
    await new Promise<void>((resolve) => recorder.recordStarted(line.lineNumber, job, resolve));
    return this.#follow(flight, job, { hasAnswered: true, signal });
  }

  async #prepare(permit: Permit, body: Uint8Array, signal: AbortSignal): Promise<RequestBody> {
    const { files, batch } = this.#options;
    const endpoint = this.#endpoint;
    if (endpoint.attachments.length === 0) return jsonBody(body);
    const { lane } = permit;
    const prepared = await attachFiles(body, {
      endpoint,
      form: lane.upstream.attachments,
      files,
      projectId: batch.projectId,
      reserve: (sizeBytes) => lane.reserve(permit, sizeBytes),
      signal,
    });
    if (prepared.body !== body) lane.resize(permit, prepared.body.length);
    return prepared;
  }

  /** @param about.hasAnswered whether the upstream has just begun the job */
  async #follow(
    flight: Flight,
    job: StartedJob,
    { hasAnswered, signal }: { hasAnswered: boolean; signal: AbortSignal },
  ): Promise<LineOutcome> {
    const { lanes } = this.#options;
    const { permit, requestId, line } = flight;
    const lane = lanes.find(({ upstream }) => upstream.name === job.upstream);
    let outcome: LineOutcome = { kind: "job-lost", jobId: job.id, status: 0 };
    if (lane) {
      permit.lane.note(permit, { kind: hasAnswered ? "success" : "nothing" });
      outcome = await followJob({
        upstream: lane.upstream,
        job,
        path: this.#endpoint.path,
        requestId,
        signal,
        onEffect: (effect) => {
          if (lane === permit.lane) lane.note(permit, effect);
        },
      });
    }
    if (outcome.kind === "job-lost") this.#started.delete(line.lineNumber);
    return outcome;
  }
}
