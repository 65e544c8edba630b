import { expect, test } from "vitest";
import { type MetricsSnapshot, countsIn, snapshotOf, sumOf, textOf } from "./metrics-sum.ts";
import { createMetrics } from "./metrics.ts";

const LANE = { upstream: "u", model: "m" };

/** Of a process that has so many lines and requests. */
async function snapshotWith(lines: number, inFlight: number): Promise<MetricsSnapshot> {
  const metrics = createMetrics(null);
  metrics.lines.tally({ outcome: "completed" }).count += lines;
  metrics.requestsInFlight.set(LANE, inFlight);
  metrics.lanePaused.set({ ...LANE, reason: "down" }, 1);
  metrics.journalCommits.begin()(true);
  // As it comes out of the channel.
  return structuredClone(await snapshotOf(metrics.registry));
}

const samplesOf = (text: string) => text.split("\n").filter((line) => line.startsWith("offpeak_"));

test("counts and requests in flight add up; what is paused twice is paused", async () => {
  const snapshots = await Promise.all([snapshotWith(3, 4), snapshotWith(10, 1)]);
  const samples = samplesOf(await textOf(snapshots));
  expect(samples).toEqual(
    expect.arrayContaining([
      'offpeak_lines_total{outcome="completed"} 13',
      'offpeak_requests_in_flight{upstream="u",model="m"} 5',
      'offpeak_lane_paused{upstream="u",model="m",reason="down"} 1',
      'offpeak_journal_commit_seconds_bucket{le="0.00025"} 2',
      'offpeak_journal_commit_seconds_bucket{le="+Inf"} 2',
      "offpeak_journal_commit_seconds_count 2",
    ]),
  );
});

test("of a process that has ended its counts remain, however often it is summed up", async () => {
  let retired: MetricsSnapshot = [];
  for (const lines of [3, 10]) {
    retired = await sumOf([retired, countsIn(await snapshotWith(lines, 4))]);
  }
  const samples = samplesOf(await textOf([await snapshotWith(1, 2), retired]));
  expect(samples).toEqual(
    expect.arrayContaining([
      'offpeak_lines_total{outcome="completed"} 14',
      'offpeak_requests_in_flight{upstream="u",model="m"} 2',
      "offpeak_journal_commit_seconds_count 3",
    ]),
  );
});

test("what can't be added up is the first one's", async () => {
  const [first, second] = await Promise.all([snapshotWith(0, 0), snapshotWith(0, 0)]);
  const started = (snapshot: MetricsSnapshot) =>
    snapshot.find(({ name }) => name === "process_start_time_seconds")?.values[0];
  started(second)!.value = 7;
  const sum = await sumOf([first, second]);
  expect(started(sum)?.value).toBe(started(first)?.value);
  expect(await textOf([first, second])).toContain("process_resident_memory_bytes");
});
