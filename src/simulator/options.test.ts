import { describe, expect, it } from "vitest";
import { type SimulatorOptions, checkedNumber, simulatorSettings } from "./options.ts";

describe("simulatorSettings", () => {
  it("fills in what is left out", () => {
    expect(simulatorSettings({ outputTokens: 3 })).toMatchObject({
      host: "127.0.0.1",
      port: 0,
      models: ["simulated-model"],
      outputTokens: 3,
      maxNumSeqs: Number.POSITIVE_INFINITY,
      failureRate: 0,
    });
  });

  it.each<[SimulatorOptions, string]>([
    [{ port: 65_536 }, "port: expected a whole number from 0 to 65535, got 65536"],
    [{ failureRate: -0.1 }, "failureRate: expected a number from 0 to 1, got -0.1"],
    [{ maxNumSeqs: 0 }, "maxNumSeqs: expected a whole number of at least 1, got 0"],
    [{ outputTokens: 1.5 }, "outputTokens: expected a whole number from 1 to 100000, got 1.5"],
    [{ imageBytes: 10 }, "imageBytes: expected a whole number from 100 to 16777216, got 10"],
    [{ timeToVideoMs: -1 }, "timeToVideoMs: expected a number from 0 to 86400000, got -1"],
    [{ timeToFirstTokenMs: Number.NaN }, "timeToFirstTokenMs: expected a number"],
    [{ models: [] }, "models: expected at least one name"],
    [{ host: "" }, "host: expected an address"],
    [{ failureKinds: [] }, "failureKinds: expected one or more of 429, 500,"],
    [{ failureKinds: ["no" as never] }, 'got "no"'],
  ])("refuses %j", (options, message) => {
    expect(() => simulatorSettings(options)).toThrow(message);
  });
});

describe("checkedNumber", () => {
  it("takes the text of a number", () => {
    expect(checkedNumber("timeToFirstTokenMs", "2.5")).toBe(2.5);
  });

  it.each(["", " ", "8o", "-1", "1e9"])("refuses the text %j, which it shows", (text) => {
    expect(() => checkedNumber("port", text)).toThrow(`got ${JSON.stringify(text)}`);
  });
});
