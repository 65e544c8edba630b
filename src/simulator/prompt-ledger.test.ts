import { describe, expect, it } from "vitest";
import { PromptLedger, promptKey } from "./prompt-ledger.ts";

function count(ledger: PromptLedger, prompt: string): number {
  return ledger.count(promptKey(prompt), prompt);
}

describe("PromptLedger", () => {
  it("counts each prompt and keeps the order of first sending", () => {
    const ledger = new PromptLedger();
    expect(["b", "a", "b", "b"].map((prompt) => count(ledger, prompt))).toEqual([1, 1, 2, 3]);
    expect([...ledger.prompts()]).toEqual([
      { prompt: "b", times: 3 },
      { prompt: "a", times: 1 },
    ]);
    expect([ledger.distinctPrompts, ledger.maxTimesSent]).toEqual([2, 3]);
    expect([ledger.timesSent("b"), ledger.timesSent("c")]).toEqual([3, 0]);
  });

  it("tells long prompts apart by their whole text but keeps 200 characters", () => {
    const ledger = new PromptLedger();
    const start = "ü".repeat(200);
    count(ledger, `${start} one`);
    count(ledger, `${start} two`);
    expect([...ledger.prompts()]).toEqual([
      { prompt: start, times: 1 },
      { prompt: start, times: 1 },
    ]);
  });

  it("stops taking new prompts at its capacity, says so, and goes on counting the known ones", () => {
    const ledger = new PromptLedger(2);
    for (const prompt of ["a", "b"]) count(ledger, prompt);
    expect(ledger.capped).toBe(false);
    expect(["c", "a", "c"].map((prompt) => count(ledger, prompt))).toEqual([1, 2, 1]);
    expect([ledger.distinctPrompts, ledger.capped]).toEqual([2, true]);
    ledger.reset();
    expect([ledger.distinctPrompts, ledger.maxTimesSent, ledger.capped]).toEqual([0, 0, false]);
  });
});
