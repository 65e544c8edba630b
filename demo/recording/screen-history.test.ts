// The replay of a terminal's bytes, and the picture made of it.

import { describe, expect, it } from "vitest";
import { replay } from "./screen-history.ts";
import { svgAnimation } from "./svg-animation.ts";

function chunk(atMs: number, text: string) {
  return { atMs, bytes: Buffer.from(text) };
}

describe("replay", () => {
  it("keeps every version of a line with its time", () => {
    const history = replay([
      chunk(0, "first\r\n\r\n"),
      chunk(10, "\r\u001B[2K\u001B[32m█\u001B[39m 1"),
      chunk(20, "\r\u001B[2K\u001B[32m██\u001B[39m 2\r\n"),
    ]);
    expect(history).toEqual([
      [{ atMs: 0, spans: [{ text: "first", codes: [] }] }],
      [],
      [
        {
          atMs: 10,
          spans: [
            { text: "█", codes: [32] },
            { text: " 1", codes: [] },
          ],
        },
        {
          atMs: 20,
          spans: [
            { text: "██", codes: [32] },
            { text: " 2", codes: [] },
          ],
        },
      ],
      [],
    ]);
  });

  it("reads the same however the bytes were cut", () => {
    const { bytes } = chunk(
      0,
      "\u001B[1ma█\u001B[22m\u001B[31mb\u001B[39m\r\n\u001B[2mc\u001B[22m",
    );
    const single = Array.from(bytes, (byte) => ({ atMs: 0, bytes: Uint8Array.of(byte) }));
    const characters = (history: ReturnType<typeof replay>) =>
      history.map((versions) =>
        versions
          .at(-1)
          ?.spans.flatMap(({ text, codes }) => Array.from(text, (character) => [character, codes])),
      );
    expect(characters(replay(single))).toEqual(characters(replay([{ atMs: 0, bytes }])));
  });

  it("refuses what it does not know", () => {
    expect(() => replay([chunk(0, "\u001B[5A")])).toThrow("got the sequence A");
  });
});

describe("svgAnimation", () => {
  it("shows each version from its time to the next, and the last ones without animation", () => {
    const history = replay([chunk(0, "one"), chunk(500, "\r\u001B[2K<two>")]);
    const svg = svgAnimation(history, { title: "T", columns: 10, holdMs: 500 });
    expect(svg).toContain(
      "{0%{visibility:hidden}0.00%{visibility:visible}50.00%{visibility:hidden}}",
    );
    expect(svg).toContain("{0%{visibility:hidden}50.00%{visibility:visible}}");
    expect(svg).toMatch(/visibility="hidden"[^>]*>one</);
    expect(svg).toMatch(/animation-name:k1" x[^>]*>&lt;two></);
  });
});
