// Looks at the first line of an upload while it streams by, to tell early that a file is no JSON
// Lines file. Keeps at most 1 MiB, and nothing once it knows.

/** A longer first line is taken for JSON when it begins like an object; validation reads it whole. */
const KEPT_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

export class FirstLine {
  #chunks: Uint8Array[] = [];
  #sizeBytes = 0;
  #isJson: boolean | undefined;

  /** Takes the next bytes of the file; keeps copies of what it needs. */
  take(chunk: Uint8Array): void {
    let start = 0;
    while (this.#isJson === undefined && start < chunk.length) {
      // A file may begin with millions of line breaks.
      while (this.#sizeBytes === 0 && isSpace(chunk[start])) start++;
      const newline = chunk.indexOf(NEWLINE, start);
      const end = newline < 0 ? chunk.length : newline;
      this.#keep(chunk.subarray(start, end));
      if (newline >= 0) this.#judge();
      start = end + 1;
    }
  }

  /** After the last byte: whether the first line that is not blank is JSON; false without one. */
  isJson(): boolean {
    if (this.#isJson === undefined) this.#judge();
    return this.#isJson ?? false;
  }

  #keep(bytes: Uint8Array): void {
    const room = KEPT_BYTES - this.#sizeBytes;
    this.#chunks.push(new Uint8Array(bytes.subarray(0, room)));
    this.#sizeBytes += Math.min(bytes.length, room);
    if (bytes.length > room) this.#settle(/^\s*\{/.test(this.#text() ?? ""));
  }

  #judge(): void {
    const line = this.#text()?.trim();
    if (line === "") {
      this.#chunks = [];
      this.#sizeBytes = 0;
      return;
    }
    this.#settle(line !== undefined && parses(line));
  }

  #settle(isJson: boolean): void {
    this.#isJson = isJson;
    this.#chunks = [];
  }

  /** What is kept, without a byte order mark; undefined when it is not UTF-8. */
  #text(): string | undefined {
    const bytes = Buffer.concat(this.#chunks);
    try {
      // Cut at 1 MiB, the last character may be half; streaming leaves it out.
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes, {
        stream: this.#sizeBytes === KEPT_BYTES,
      });
    } catch {
      return undefined;
    }
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === NEWLINE || byte === 0x0d;
}

function parses(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}
