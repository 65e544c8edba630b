import { describe, expect, test } from "vitest";
import { AnswerIntake, type Receiving } from "./answer-intake.ts";

class Call implements Receiving {
  isPaused = false;

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }
}

const receiving = (intake: AnswerIntake) => {
  const all = [new Call(), new Call(), new Call()] as const;
  for (const call of all) intake.begin(call);
  return all;
};
const paused = async (all: readonly Call[]) => {
  // Nothing is resumed in the midst of something else.
  await Promise.resolve();
  return all.map(({ isPaused }) => isPaused);
};

describe("beyond its bound", () => {
  test("only the answer that began first is read on; when it has ended, the others are", async () => {
    const intake = new AnswerIntake(100);
    const all = receiving(intake);
    for (const call of all) intake.take(call, 30);
    expect(await paused(all)).toEqual([false, false, false]);
    for (const call of all) intake.take(call, 15);
    expect(await paused(all)).toEqual([false, true, true]);
    intake.take(all[0], 1_000);
    expect(await paused(all)).toEqual([false, true, true]);
    intake.end(all[0], 1_045);
    expect(await paused(all)).toEqual([false, false, false]);
  });

  test("the next oldest is read on while there is no room for all", async () => {
    const intake = new AnswerIntake(100);
    const all = receiving(intake);
    intake.take(all[0], 1);
    for (const call of all) intake.take(call, 200);
    intake.end(all[0], 201);
    expect(await paused(all)).toEqual([false, false, true]);
  });

  test("one that is given up makes room as well, paused or not", async () => {
    const intake = new AnswerIntake(100);
    const all = receiving(intake);
    for (const call of all) intake.take(call, 60);
    expect(await paused(all)).toEqual([false, true, true]);
    intake.end(all[1], 60);
    intake.end(all[0], 60);
    expect((await paused(all))[2]).toBe(false);
  });
});

describe("while it is held", () => {
  test("nothing is read on, not even the first, until all who hold it let go", async () => {
    const intake = new AnswerIntake(100);
    const all = receiving(intake);
    const releases = [intake.hold(), intake.hold()] as const;
    for (const call of all) intake.take(call, 1);
    expect(await paused(all)).toEqual([true, true, true]);
    releases[0]();
    releases[0]();
    expect(await paused(all)).toEqual([true, true, true]);
    releases[1]();
    expect(await paused(all)).toEqual([false, false, false]);
  });
});
