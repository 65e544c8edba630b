// What the engine and its planning thread say to each other about one pass over an input, on a port
// of its own. The thread never returns to its event loop in between: it waits on `signal`.

import type { MessagePort } from "node:worker_threads";
import type { InputRules } from "../core/input-validator.ts";
import type { Verdict } from "./plan-pass.ts";

/** What the thread is sent to begin a pass. */
export interface PlanningJob {
  port: MessagePort;
  /** See `SIGNAL`; shared. */
  signal: Int32Array<SharedArrayBuffer>;
  rules: Omit<InputRules, "serves">;
  shardLines: number;
}

export const SIGNAL = {
  /** How many messages were sent to the thread; it waits here for the next. */
  sent: 0,
  /** 1: nobody wants the rest of the pass. */
  stopped: 1,
  length: 2,
} as const;

/** To the thread. Null is the end of the input. */
export type ToThread =
  | { kind: "chunk"; bytes: Uint8Array<ArrayBuffer> | null }
  | { kind: "answer"; value: boolean | Uint8Array | null };

/** From the thread. A question is followed by nothing until its answer has come. */
export type FromThread =
  /** A chunk was read; its memory comes back. */
  | { kind: "spent"; memory: ArrayBuffer }
  /** Asks whether an upstream serves the model. */
  | { kind: "serves"; model: string }
  /** Asks for bytes of the input. */
  | { kind: "earlier"; start: number; length: number }
  /** The next piece of the plan; asks for null when it is written. */
  | { kind: "plan"; bytes: Uint8Array<ArrayBuffer> }
  | { kind: "verdict"; verdict: Verdict }
  | { kind: "failed"; error: unknown };
