// What stood on each line of a terminal, and from when: made from the bytes that the demo wrote and their
// times. Knows the few escape sequences that the demo uses, and refuses others.

/** Text in one style; `codes` are the numbers of the escape sequences in force, such as 32 for green. */
export interface Span {
  text: string;
  codes: readonly number[];
}

/** A line as it stood from a moment on, until its next version. */
export interface LineVersion {
  atMs: number;
  spans: readonly Span[];
}

/** All versions of each line, the top line first; a line that was always empty has none. */
export type ScreenHistory = LineVersion[][];

/** Bytes as they were written at one time. */
export interface Chunk {
  atMs: number;
  bytes: Uint8Array;
}

const ESCAPE = "\u001B";
const SEQUENCE = /^\[([\d;]*)([A-Za-z])/;
const TEXT_OR_BREAK = /[\r\n]|[^\r\n]+/g;

/** Replays what was written. The screen is taken to be so high that it never scrolls. */
export function replay(chunks: Iterable<Chunk>): ScreenHistory {
  const screen = new Screen();
  const decoder = new TextDecoder();
  let unfinished = "";
  for (const { atMs, bytes } of chunks) {
    const text = unfinished + decoder.decode(bytes, { stream: true });
    const [plain = "", ...sequences] = text.split(ESCAPE);
    unfinished = "";
    screen.write(plain, atMs);
    for (const part of sequences) {
      const sequence = SEQUENCE.exec(part);
      if (sequence === null) {
        unfinished = ESCAPE + part;
        continue;
      }
      const [whole, parameters, command] = sequence;
      screen.obey(command!, Number(parameters));
      screen.write(part.slice(whole.length), atMs);
    }
  }
  return screen.history;
}

class Screen {
  readonly history: ScreenHistory = [[]];
  #codes: readonly number[] = [];
  #spans: readonly Span[] = [];

  write(text: string, atMs: number): void {
    for (const [piece] of text.matchAll(TEXT_OR_BREAK)) {
      if (piece === "\n") {
        this.history.push([]);
        this.#spans = [];
      } else if (piece !== "\r") {
        this.#spans = [...this.#spans, { text: piece, codes: this.#codes }];
        this.#show({ atMs, spans: this.#spans });
      }
    }
  }

  obey(command: string, code: number): void {
    if (command === "m") this.#codes = styled(this.#codes, code);
    else if (command === "K") this.#spans = [];
    else throw new Error(`Expected a style or an erased line, got the sequence ${command}.`);
  }

  /** What was written at one time is one version. */
  #show(version: LineVersion): void {
    const versions = this.history.at(-1)!;
    if (versions.at(-1)?.atMs === version.atMs) versions.pop();
    versions.push(version);
  }
}

function styled(codes: readonly number[], code: number): readonly number[] {
  if (code === 39) return codes.filter((known) => known < 30);
  if (code === 22) return codes.filter((known) => known !== 1 && known !== 2);
  return [...codes, code];
}
