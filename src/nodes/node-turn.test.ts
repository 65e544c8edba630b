// Turns on one upstream, agreed by several nodes through a board on which each writes and reads when it likes;
// with nodes that die, and come, at any moment. The seed is that of fast-check.
import fc from "fast-check";
import { expect, test } from "vitest";
import { aBeat } from "../../test/support/node-beat.ts";
import {
  AloneCheck,
  SendingProcess,
  UPSTREAM,
  type Work,
  anyWork,
} from "../../test/support/turn-stage.ts";
import type { NodeBeat } from "../core/node-store.ts";
import { NodeTurn } from "./node-turn.ts";

/** A node with two lanes, whose beat is a write, some time later a read, and later still its answer. */
class Node extends SendingProcess {
  readonly id: string;
  readonly #turn: NodeTurn;
  readonly #board: Map<string, NodeBeat>;
  #hasWritten = false;
  /** What it has read and not heard yet. */
  #answer: NodeBeat[] | null = null;

  constructor(id: string, board: Map<string, NodeBeat>) {
    const turn = new NodeTurn({
      id,
      isTrusted: () => true,
      onSaid: () => undefined,
      isUsed: true,
    });
    super(turn);
    this.id = id;
    this.#turn = turn;
    this.#board = board;
  }

  write(): void {
    if (this.#hasWritten || this.#answer) return;
    const { wanted, emptyFor } = this.#turn;
    this.#board.set(
      this.id,
      aBeat(this.id, {
        role: "engine",
        wantsAlone: wanted === null ? {} : { [UPSTREAM]: wanted },
        emptyFor: emptyFor === null ? {} : { [UPSTREAM]: emptyFor },
      }),
    );
    this.#hasWritten = true;
  }

  read(): void {
    if (!this.#hasWritten) return;
    this.#hasWritten = false;
    this.#answer = [...this.#board.values()];
  }

  hear(): void {
    if (this.#answer) this.#turn.learn(UPSTREAM, this.#answer);
    this.#answer = null;
  }

  beat(): void {
    this.read();
    this.hear();
    this.write();
    this.read();
    this.hear();
  }
}

class Stage {
  readonly #board = new Map<string, NodeBeat>();
  readonly #alone = new AloneCheck();
  #started = 0;
  nodes: Node[] = [];

  get sentAlone(): number {
    return this.#alone.sentAlone;
  }

  start(work: readonly Work[], rank: number): void {
    this.#started++;
    const node = new Node(`node_${rank}_${this.#started}`, this.#board);
    // As a node does before it has any work.
    node.beat();
    this.nodes.push(node);
    this.give(node, work);
  }

  give(node: Node, work: readonly Work[]): void {
    node.work(work, (permit) => this.#alone.check(permit, this.nodes));
  }

  /** It is dead, and found to be so. */
  kill(node: Node): void {
    this.nodes = this.nodes.filter((other) => other !== node);
    this.#board.delete(node.id);
  }

  /** Lets everything happen that can, until nothing is left to do. */
  finish(): void {
    for (let step = 0; step < 10_000 && this.nodes.some(({ isIdle }) => !isIdle); step++) {
      for (const node of this.nodes) {
        node.beat();
        node.finishOne(step);
      }
    }
  }
}

const step = fc.record({
  node: fc.nat({ max: 5 }),
  what: fc.constantFrom(
    "write",
    "read",
    "hear",
    "finish",
    "write",
    "read",
    "hear",
    "finish",
    "takeBack",
    "kill",
    "come",
    "work",
  ),
  pick: fc.nat({ max: 5 }),
  newWork: anyWork,
});

test("a request that must be alone is, whatever comes late and whoever dies; and everything is sent", () => {
  let sentAlone = 0;
  fc.assert(
    fc.property(
      fc.array(anyWork, { minLength: 1, maxLength: 4 }),
      fc.array(step, { maxLength: 300 }),
      (works, steps) => {
        const stage = new Stage();
        for (const [rank, each] of works.entries()) stage.start(each, rank);
        for (const { node: at, what, pick, newWork } of steps) {
          const node = stage.nodes[at % stage.nodes.length]!;
          if (what === "write") node.write();
          else if (what === "read") node.read();
          else if (what === "hear") node.hear();
          else if (what === "finish") node.finishOne(pick);
          else if (what === "takeBack") node.takeBack(pick);
          else if (what === "work") stage.give(node, newWork);
          else if (what === "kill" && stage.nodes.length > 1) stage.kill(node);
          else if (stage.nodes.length < 4) stage.start(newWork, pick);
        }
        stage.finish();
        expect(stage.nodes.filter(({ isIdle }) => !isIdle)).toEqual([]);
        sentAlone += stage.sentAlone;
      },
    ),
    { numRuns: 1_000 },
  );
  expect(sentAlone).toBeGreaterThan(1_000);
});

test("a node that has no such upstream keeps nobody waiting", () => {
  const said: string[] = [];
  const turn = new NodeTurn({
    id: "node_b",
    isTrusted: () => true,
    onSaid: () => said.push("said"),
    isUsed: false,
  });
  const asking = aBeat("node_a", { wantsAlone: { [UPSTREAM]: "node_a 1" } });
  turn.learn(UPSTREAM, [asking]);
  expect([turn.emptyFor, said.length]).toEqual(["node_a 1", 1]);
});

test("an answer from before it asked gives it no turn", () => {
  const options = { isTrusted: () => true, onSaid: () => undefined, isUsed: true };
  const turn = new NodeTurn({ ...options, id: "node_a" });
  const before = aBeat("node_a");
  turn.ask();
  turn.learn(UPSTREAM, [before]);
  expect(turn.isOurs).toBe(false);
  turn.learn(UPSTREAM, [{ ...before, wantsAlone: { [UPSTREAM]: turn.wanted! } }]);
  expect(turn.isOurs).toBe(true);
});
