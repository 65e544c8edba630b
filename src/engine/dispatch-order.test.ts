import fc from "fast-check";
import { expect, test } from "vitest";
import { DispatchOrder } from "./dispatch-order.ts";

interface Line {
  prompt: string;
  model?: number;
}

function orderOf(lines: readonly Line[]): number[] {
  const order = new DispatchOrder();
  for (const { prompt, model = 0 } of lines) {
    // The prompt in two parts, with something else around and between them.
    const middle = Math.floor(prompt.length / 2);
    const bytes = Buffer.from(`<${prompt.slice(0, middle)}|${prompt.slice(middle)}>`, "latin1");
    order.add(model, bytes, [
      { start: 1, end: 1 + middle },
      { start: 2 + middle, end: 2 + prompt.length },
    ]);
  }
  return [...order.finish()];
}

const levels = [128, 1024, 8192];

/**
 * The order as the file's comment has it, told with the prompts themselves. Of the first one with a
 * beginning of 128 bytes no more than that is compared.
 */
function expectedOrder(lines: readonly Line[]): number[] {
  const shortest = lines.map(({ prompt }) => prompt.slice(0, 128));
  const compared = lines.map(({ prompt }, index) =>
    shortest.indexOf(shortest[index]!) === index ? shortest[index]! : prompt,
  );
  const ranks = lines.map(({ model = 0 }, index) => [
    model,
    ...levels.map((length) => {
      const beginning = compared[index]!.slice(0, length);
      return compared.findIndex((prompt) => prompt.slice(0, length) === beginning);
    }),
  ]);
  return lines
    .map((_, index) => index)
    .toSorted((a, b) => {
      const [one, other] = [ranks[a] as number[], ranks[b] as number[]];
      const at = one.findIndex((rank, level) => rank !== other[level]);
      return at < 0 ? a - b : (one[at] as number) - (other[at] as number);
    });
}

const system = (name: string, length: number) => name.repeat(length).slice(0, length);

test("lines that share nothing stay in the order of the file", () => {
  expect(orderOf(["c", "a", "b", "d"].map((prompt) => ({ prompt })))).toEqual([0, 1, 2, 3]);
  expect(orderOf([])).toEqual([]);
  expect(orderOf([{ prompt: "" }])).toEqual([0]);
});

test("lines with the same beginning are adjacent, where the first of them stands", () => {
  const lines = ["x", "y", "z", "x", "y", "x"].map((name, n) => ({
    prompt: `${system(name, 128)} question ${n}`,
  }));
  expect(orderOf(lines)).toEqual([0, 3, 5, 1, 4, 2]);
});

test("a longer common beginning counts inside a shorter one, but for the first line of that", () => {
  const shared = system("s", 128);
  const lines = [
    { prompt: `${shared}${system("a", 900)}1` },
    { prompt: `${shared}${system("b", 900)}2` },
    { prompt: "other" },
    { prompt: `${shared}${system("a", 900)}3` },
    { prompt: `${shared}${system("b", 900)}4` },
    { prompt: `${shared}${system("a", 900)}5` },
  ];
  expect(orderOf(lines)).toEqual([0, 1, 4, 3, 5, 2]);
});

test("what differs behind the longest beginning stays in the order of the file", () => {
  const shared = system("s", 8192);
  expect(orderOf(["b", "a", "c"].map((end) => ({ prompt: shared + end })))).toEqual([0, 1, 2]);
});

test("whole prompts that are equal are adjacent, however short", () => {
  expect(orderOf(["a", "b", "a", "b"].map((prompt) => ({ prompt })))).toEqual([0, 2, 1, 3]);
});

test("models are kept apart, in their order, also when they change far into the file", () => {
  const lines = Array.from({ length: 10_000 }, (_, n) => ({
    prompt: `${n % 5_000}`,
    model: n < 9_000 || n % 2 === 0 ? 0 : 1,
  }));
  const order = orderOf(lines);
  const models = order.map((index) => lines[index]!.model);
  expect(models).toEqual(models.toSorted((a, b) => a - b));
  expect(order.toSorted((a, b) => a - b)).toEqual(lines.map((_, index) => index));
  expect(order.slice(0, 4)).toEqual([0, 5_000, 1, 5_001]);
});

test("any lines: groups as described, every line once, the same each time", () => {
  const part = fc.record({
    name: fc.constantFrom("a", "b"),
    length: fc.constantFrom(0, 1, 127, 128, 129, 896, 1024, 7168, 8192),
  });
  const line = fc.record({
    prompt: fc
      .array(part, { maxLength: 3 })
      .map((parts) => parts.map(({ name, length }) => system(name, length)).join("")),
    model: fc.constantFrom(0, 0, 0, 1, 2),
  });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 30 }), (lines) => {
      const order = orderOf(lines);
      expect(order).toEqual(expectedOrder(lines));
      expect(orderOf(lines)).toEqual(order);
    }),
  );
});
