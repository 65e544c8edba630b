// The four kinds of tests (unit, suites, e2e, faults) as vitest projects. They run one kind after
// the other, so that tests of whole processes are never short of a processor because of others; files
// run side by side only where they are independent and quick.
import { defineConfig } from "vitest/config";
import { TotalsReporter } from "./test/support/totals-reporter.ts";

const secondMs = 1_000;
const minuteMs = 60 * secondMs;

export default defineConfig({
  test: {
    reporters: ["default", new TotalsReporter()],
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      exclude: ["src/**/*.test.ts"],
      reporter: ["text-summary", "html"],
      thresholds: { "src/core/**/*.ts": { branches: 100 } },
    },
    projects: [
      {
        test: {
          name: "unit",
          include: ["{src,demo,bench}/**/*.test.ts", "test/*.test.ts"],
          // Half the start-up time of processes, and no unit test needs a process of its own.
          pool: "threads",
          maxWorkers: "100%",
          testTimeout: 15 * secondMs,
          hookTimeout: 15 * secondMs,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "suites",
          include: ["test/suites/**/*.test.ts"],
          globalSetup: ["test/setup/postgres.ts", "test/setup/s3.ts"],
          maxWorkers: "100%",
          testTimeout: 30 * secondMs,
          hookTimeout: 60 * secondMs,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/{e2e,conformance}/**/*.test.ts"],
          globalSetup: ["test/setup/postgres.ts", "test/setup/s3.ts"],
          fileParallelism: false,
          testTimeout: 2 * minuteMs,
          hookTimeout: minuteMs,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: "faults",
          include: ["test/faults/**/*.test.ts"],
          globalSetup: ["test/setup/s3.ts"],
          fileParallelism: false,
          testTimeout: 10 * minuteMs,
          hookTimeout: minuteMs,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
