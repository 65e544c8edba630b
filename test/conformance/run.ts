// `npm run conformance -- --base-url URL --api-key KEY`: asks any server that speaks the Batch API, prints one
// line for each case and the count. Exit code 1 when a case failed, 2 when it was called wrongly.
import { parseArgs } from "node:util";
import { allCases } from "./all-cases.ts";
import { type Case, type Surroundings, sortedByNeeds } from "./case.ts";
import { Target } from "./target.ts";

const HELP = `npm run conformance -- --base-url URL --api-key KEY [options]

Uploads small files and runs small batches; the key's project should be idle meanwhile, and without limits.

  --base-url URL        as SDKs have it, such as http://127.0.0.1:8024/v1
  --api-key KEY         of the project to work in
  --model NAME          that its batches name (the first of GET /models)
  --other-api-key KEY   of another project, in which there is nothing
  --admin-key KEY       of an Offpeak server
  --offpeak             the server is Offpeak: asks for what goes beyond OpenAI, too
  --simulator           the model is the simulator's, with all endpoints
  --wait SECONDS        how long a small batch may take (100)
  --only TEXT           runs the cases whose row or name has this text
`;

const { values: flags } = parseArgs({
  options: {
    help: { type: "boolean", default: false },
    "base-url": { type: "string" },
    "api-key": { type: "string" },
    model: { type: "string" },
    "other-api-key": { type: "string" },
    "admin-key": { type: "string" },
    offpeak: { type: "boolean", default: false },
    simulator: { type: "boolean", default: false },
    wait: { type: "string", default: "100" },
    only: { type: "string", default: "" },
  },
});

async function main(): Promise<number> {
  const { "base-url": baseUrl, "api-key": apiKey } = flags;
  if (flags.help) {
    console.log(HELP);
    return 0;
  }
  if (baseUrl === undefined || apiKey === undefined || !(Number(flags.wait) > 0)) {
    console.error(HELP);
    return 2;
  }
  const model = flags.model ?? (await firstModel(new Target({ baseUrl, apiKey, model: "" })));
  const options = { baseUrl, apiKey, model, patienceMs: Number(flags.wait) * 1_000 };
  const surroundings: Partial<Surroundings> = {
    ...(flags.offpeak && { offpeak: true as const }),
    ...(flags.simulator && { simulator: true as const }),
    ...(flags["other-api-key"] && {
      "other-project": new Target({ ...options, apiKey: flags["other-api-key"] }),
    }),
    ...(flags["admin-key"] && {
      "admin-key": new Target({ ...options, apiKey: flags["admin-key"] }),
    }),
  };
  const wanted = allCases.filter(({ row, name }) => `${row} ${name}`.includes(flags.only));
  const { runnable, notRunHere } = sortedByNeeds(wanted, surroundings);
  const failed = await runAll(runnable, new Target({ ...options, surroundings }));
  report(runnable.length, failed, notRunHere, surroundings);
  return failed === 0 ? 0 : 1;
}

async function firstModel(target: Target): Promise<string> {
  const { status, json } = await target.send("/models").catch((error: Error) => {
    const cause = error.cause instanceof Error ? error.cause.message : error.message;
    throw new Error(`GET ${flags["base-url"]}/models: ${cause}. Is the server running?`);
  });
  const model = (json as { data?: { id: string }[] } | undefined)?.data?.[0]?.id;
  if (model !== undefined) return model;
  throw new Error(
    `GET ${flags["base-url"]}/models names no model (status ${status}). Does the base URL end in /v1? Else say which model with --model.`,
  );
}

/** How many failed. */
async function runAll(cases: readonly Case[], target: Target): Promise<number> {
  let failed = 0;
  for (const one of cases) {
    const { row, name } = one;
    try {
      await one.run(target);
      console.log(`ok      ${row}: ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${row}: ${name}`);
      console.log(`        ${(error as Error).message.replaceAll("\n", "\n        ")}`);
    }
  }
  return failed;
}

function report(
  run: number,
  failed: number,
  notRunHere: readonly Case[],
  surroundings: Partial<Surroundings>,
): void {
  for (const { row, name, needs = [] } of notRunHere) {
    const missing = needs.filter((need) => surroundings[need] === undefined);
    console.log(`not run ${row}: ${name} (needs ${missing.join(", ")})`);
  }
  console.log(
    `\n${run} cases run: ${run - failed} ok, ${failed} failed. Not run here: ${notRunHere.length}.`,
  );
}

process.exitCode = await main().catch((error: Error) => {
  console.error(`conformance: ${error.message}`);
  return 2;
});
