import { expect, onTestFinished, test, vi } from "vitest";
import { createMetrics } from "./metrics.ts";

const noBatches = {
  validating: 0,
  failed: 0,
  in_progress: 0,
  finalizing: 0,
  completed: 0,
  expired: 0,
  cancelling: 0,
  cancelled: 0,
};

const work = (byStatus: typeof noBatches, queuedLines = 0) => ({
  countByStatus: () => Promise.resolve(byStatus),
  countQueuedLines: () => Promise.resolve(queuedLines),
});

test("every metric is there under its public name and labels", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const metrics = createMetrics(work({ ...noBatches, in_progress: 2 }, 77));
  metrics.lines.tally({ outcome: "completed" }).count += 3;
  metrics.attempts.tally({ upstream: "u", result: "answer" }).count++;
  metrics.requestsInFlight.set({ upstream: "u", model: "m" }, 4);
  metrics.lanePaused.set({ upstream: "u", model: "m", reason: "unreachable" }, 1);
  metrics.journalCommits.begin();
  const end = metrics.journalCommits.begin();
  vi.advanceTimersByTime(2);
  end(true);
  metrics.journalCommits.begin()(false);
  metrics.showNodes(["engine", "api", "engine"]);
  metrics.webhookAttempts.inc({ result: "given_up" });
  metrics.httpRequests.inc({ method: "GET", route: "/healthz", status: 200 });
  const text = await metrics.registry.metrics();
  for (const line of [
    "offpeak_queued_lines 77",
    'offpeak_lines_total{outcome="completed"} 3',
    'offpeak_attempts_total{upstream="u",result="answer"} 1',
    'offpeak_requests_in_flight{upstream="u",model="m"} 4',
    'offpeak_lane_paused{upstream="u",model="m",reason="unreachable"} 1',
    'offpeak_journal_commit_seconds_bucket{le="0.001"} 0',
    'offpeak_journal_commit_seconds_bucket{le="0.0025"} 1',
    'offpeak_journal_commit_seconds_bucket{le="5"} 1',
    "offpeak_journal_commit_waiting_seconds 0.002",
    'offpeak_nodes{role="all"} 0',
    'offpeak_nodes{role="engine"} 2',
    "offpeak_storage_up 1",
    'offpeak_batches{status="in_progress"} 2',
    'offpeak_batches{status="failed"} 0',
    'offpeak_webhook_attempts_total{result="given_up"} 1',
    'offpeak_http_requests_total{method="GET",route="/healthz",status="200"} 1',
  ]) {
    expect(text.split("\n")).toContain(line);
  }
  expect(text).toContain("process_resident_memory_bytes");
});

test("a lane that goes on leaves no trace in the paused ones", async () => {
  const metrics = createMetrics(work(noBatches));
  const lane = { upstream: "u", model: "m", reason: "unreachable" };
  metrics.lanePaused.set(lane, 1);
  metrics.lanePaused.remove(lane);
  expect(await metrics.registry.metrics()).not.toContain("offpeak_lane_paused{");
});

test("two servers in one process count apart", async () => {
  const [one, other] = [createMetrics(work(noBatches)), createMetrics(work(noBatches))];
  one.lines.tally({ outcome: "failed" }).count++;
  expect(await other.registry.metrics()).not.toContain("offpeak_lines_total{");
});

test("while the Store does not answer the metrics say so, and all else is there", async () => {
  let isAway = false;
  const counts = work({ ...noBatches, failed: 3 }, 7);
  const metrics = createMetrics({
    countByStatus: () => (isAway ? Promise.reject(new Error("away")) : counts.countByStatus()),
    countQueuedLines: counts.countQueuedLines,
  });
  expect(await metrics.registry.metrics()).toContain("offpeak_queued_lines 7");
  isAway = true;
  metrics.lines.tally({ outcome: "completed" }).count += 1;
  const text = await metrics.registry.metrics();
  expect(text).toContain("offpeak_storage_up 0");
  expect(text).toContain('offpeak_lines_total{outcome="completed"} 1');
  expect(text).not.toMatch(/^offpeak_(batches|queued_lines)[ {]/m);
  isAway = false;
  expect(await metrics.registry.metrics()).toContain('offpeak_batches{status="failed"} 3');
});
