// What a line's verdict means for everybody else on its lane.

import type { LineOutcome, Verdict } from "../core/retry.ts";
import type { LaneEffect } from "../lanes/lane.ts";

export function effectOf(verdict: Verdict, outcome: LineOutcome): LaneEffect {
  switch (verdict.kind) {
    case "pause":
      return {
        kind: "hold",
        scope: verdict.scope,
        reason: verdict.reason,
        retryAfterMs: verdict.retryAfterMs,
      };
    case "suspect":
      return { kind: "hold", scope: "lane", reason: verdict.reason, retryAfterMs: null };
    case "record":
      return { kind: "success" };
    case "retry":
      return { kind: outcome.kind === "answer" ? "success" : "nothing" };
    case "fail":
    case "withheld":
    case "aborted":
      return { kind: "nothing" };
  }
}
