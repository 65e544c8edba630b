import { describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import type { VideoRequest } from "./media-request.ts";
import { VideoJobs } from "./video-jobs.ts";

const request: VideoRequest = {
  kind: "video",
  model: "m",
  prompt: "A cat",
  seconds: "4",
  size: "720x1280",
  received: { form: "json", fields: {}, files: [] },
};

interface Video {
  id: string;
  status: string;
  progress: number;
}

function jobs(timeToVideoMs: number, capacity?: number) {
  const clock = new FakeClock();
  const videos = new VideoJobs(timeToVideoMs, clock, capacity);
  const create = (ending: "completed" | "failed" = "completed") =>
    videos.create(request, "m", ending) as Video | undefined;
  return { clock, videos, create };
}

describe("VideoJobs", () => {
  it("take a job from queued to completed as time goes by", () => {
    const { clock, videos, create } = jobs(10_000);
    const created = create()!;
    const at = clock.now() / 1000;
    expect(created).toMatchObject({
      id: expect.stringMatching(/^video_/),
      object: "video",
      model: "m",
      status: "queued",
      progress: 0,
      created_at: at,
      completed_at: null,
      expires_at: null,
      error: null,
      prompt: "A cat",
      remixed_from_video_id: null,
      seconds: "4",
      size: "720x1280",
    });
    const seen: [string, number][] = [];
    for (const ms of [0, 999, 1, 4_000, 4_999, 1, 60_000]) {
      clock.pass(ms);
      const { status, progress } = videos.find(created.id) as Video;
      seen.push([status, progress]);
    }
    expect(seen).toEqual([
      ["queued", 0],
      ["queued", 0],
      ["in_progress", 10],
      ["in_progress", 50],
      ["in_progress", 99],
      ["completed", 100],
      ["completed", 100],
    ]);
    expect(videos.find(created.id)).toMatchObject({
      completed_at: at + 10,
      expires_at: at + 10 + 86_400,
      error: null,
    });
  });

  it("end a job as failed where that was asked for", () => {
    const { clock, videos, create } = jobs(1_000);
    const { id } = create("failed")!;
    clock.pass(1_000);
    expect(videos.find(id)).toMatchObject({
      status: "failed",
      progress: 99,
      completed_at: null,
      error: { code: "simulated_failure", message: expect.any(String) },
    });
  });

  it("answer queued first even where a job takes no time", () => {
    const { videos, create } = jobs(0);
    const created = create()!;
    expect(created.status).toBe("queued");
    expect(videos.find(created.id)).toMatchObject({ status: "completed" });
  });

  it("know only their own ids", () => {
    const { id } = jobs(0).create()!;
    expect(jobs(0).videos.find(id)).toBeUndefined();
  });

  it("forget the oldest ended job beyond their capacity, and none that goes on", () => {
    const { clock, videos, create } = jobs(1_000, 2);
    const ids = [create()!.id, create()!.id];
    expect(create()).toBeUndefined();
    clock.pass(1_000);
    const third = create()!;
    expect(ids.map((id) => videos.find(id) !== undefined)).toEqual([false, true]);
    expect(videos.find(third.id)).toMatchObject({ status: "queued" });
  });
});
