import { describe, expect, it } from "vitest";
import { type Outcome, outcomeOf } from "./failures.ts";
import { type SimulatorOptions, simulatorSettings } from "./options.ts";
import { promptKey } from "./prompt-ledger.ts";

function outcome(prompt: string, times = 1, options: SimulatorOptions = {}) {
  return outcomeOf(simulatorSettings(options), prompt, promptKey(prompt), times);
}

describe("directives in a prompt", () => {
  it.each<[string, Outcome]>([
    ["no directive", "ok"],
    ["please [simulate: 400] this", 400],
    ["[simulate: 503]", 503],
    ["[simulate:hang]", "hang"],
    ["[simulate: cut]", "cut"],
    ["[simulate: garbage]", "garbage"],
    ["[simulate: drip]", "drip"],
    ["[simulate: crash]", "crash"],
    ["[simulate: failed]", "failed"],
  ])("%s", (prompt, expected) => {
    expect(outcome(prompt)).toBe(expected);
  });

  it("with a count apply to the first sendings only", () => {
    const outcomes = [1, 2, 3].map((times) => outcome("[simulate: 500 x2]", times));
    expect(outcomes).toEqual([500, 500, "ok"]);
  });

  it("are refused with 400 when nobody knows them", () => {
    expect(outcome("try [simulate: 700] now")).toMatchObject({
      status: 400,
      message: expect.stringContaining('"[simulate: 700] now"'),
    });
  });

  it("win over the failure rate", () => {
    expect(outcome("[simulate: drip]", 1, { failureRate: 1, failureKinds: ["500"] })).toBe("drip");
  });
});

describe("the failure rate", () => {
  const prompts = Array.from({ length: 2_000 }, (_, index) => `prompt ${index}`);
  const outcomes = (options: SimulatorOptions, times = 1) =>
    prompts.map((prompt) => outcome(prompt, times, options));

  it("fails about its share of the prompts, in each of its kinds", () => {
    const drawn = outcomes({ failureRate: 0.3, failureKinds: ["429", "cut", "hang"] });
    const share = (kind: Outcome) => drawn.filter((one) => one === kind).length / drawn.length;
    expect(share("ok")).toBeGreaterThan(0.66);
    expect(share("ok")).toBeLessThan(0.74);
    for (const kind of [429, "cut", "hang"] as const) {
      expect(share(kind)).toBeGreaterThan(0.07);
      expect(share(kind)).toBeLessThan(0.13);
    }
  });

  it("chooses the same ones for the same seed, others for another seed or a second sending", () => {
    const options = { failureRate: 0.3, seed: 7 };
    expect(outcomes(options)).toEqual(outcomes(options));
    expect(outcomes(options)).not.toEqual(outcomes({ ...options, seed: 8 }));
    expect(outcomes(options)).not.toEqual(outcomes(options, 2));
  });

  it("fails all at 1 and none at 0", () => {
    expect(new Set(outcomes({ failureRate: 1, failureKinds: ["503"] }))).toEqual(new Set([503]));
    expect(new Set(outcomes({ failureRate: 0 }))).toEqual(new Set(["ok"]));
  });
});
