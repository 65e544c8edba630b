// The judge of an ended batch. It only counts: every line of the input must have exactly one line in
// exactly one of the two files, and what the batch and the files say of themselves must add up.
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import type OpenAI from "openai";
import type { Batch } from "openai/resources/batches";

/** What became of one line. */
export interface LineResult {
  file: "output" | "error";
  /** Null when there was no HTTP answer. */
  status: number | null;
  /** Of the line's error, or of the error in the answer. */
  code: string | null;
}

export interface Judgement {
  /** Everything that is wrong; empty for a batch that kept every promise. */
  problems: string[];
  output: number;
  error: number;
  results: ReadonlyMap<string, LineResult>;
}

interface WireLine {
  id: string;
  custom_id: string;
  response: { status_code: number; body: { usage?: Usage; error?: { code?: string } } } | null;
  error: { code: string; message: string } | null;
}

interface Usage {
  total_tokens: number;
}

const MAX_PROBLEMS = 20;
/** Lines with these codes were never run: they count as neither completed nor failed. */
const NOT_RUN = ["batch_cancelled", "batch_expired"];

/** @param customIds of the input, in its order */
export async function judge(
  openai: OpenAI,
  batch: Batch,
  customIds: readonly string[],
): Promise<Judgement> {
  const trial = new Trial(customIds);
  for (const file of ["output", "error"] as const) {
    const id = batch[`${file}_file_id`];
    if (id) await trial.read(openai, file, id);
  }
  trial.close(batch);
  return trial;
}

class Trial implements Judgement {
  readonly problems: string[] = [];
  readonly results = new Map<string, LineResult>();
  output = 0;
  error = 0;
  readonly #order: ReadonlyMap<string, number>;
  readonly #lineIds = new Set<string>();
  #notRun = 0;
  #totalTokens = 0;

  constructor(customIds: readonly string[]) {
    this.#order = new Map(customIds.map((customId, index) => [customId, index]));
  }

  #object(problem: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(problem);
  }

  async read(openai: OpenAI, file: "output" | "error", id: string): Promise<void> {
    const about = await openai.files.retrieve(id);
    const content = await openai.files.content(id);
    if (!content.body) throw new Error(`file ${id} has no body`);
    const bytes = Readable.fromWeb(content.body as ReadableStream<Uint8Array>);
    let sizeBytes = 0;
    let last = 0;
    let position = -1;
    bytes.on("data", (chunk: Uint8Array) => {
      sizeBytes += chunk.length;
      last = chunk.at(-1) ?? last;
    });
    for await (const text of createInterface({ input: bytes, crlfDelay: Infinity })) {
      position = this.#take(file, JSON.parse(text) as WireLine, position);
    }
    if (sizeBytes !== about.bytes) {
      this.#object(`the ${file} file has ${sizeBytes} bytes and says ${about.bytes}`);
    }
    if (last !== 0x0a) this.#object(`the ${file} file does not end with a newline`);
    if (position < 0) this.#object(`the ${file} file has no lines`);
  }

  /** Answers the line's position in the input. */
  #take(file: "output" | "error", line: WireLine, before: number): number {
    const { custom_id: customId, response, error } = line;
    const position = this.#order.get(customId);
    if (position === undefined) this.#object(`${customId} in the ${file} file is not in the input`);
    else if (position <= before) this.#object(`${customId} in the ${file} file is out of order`);
    if (this.results.has(customId)) this.#object(`${customId} has more than one line`);
    if (this.#lineIds.has(line.id)) this.#object(`the line id ${line.id} was given twice`);
    this.#lineIds.add(line.id);
    const status = response?.status_code ?? null;
    const isSuccess = status !== null && status >= 200 && status < 300 && error === null;
    if (file === "output" && !isSuccess) this.#object(`${customId} is no output: ${status}`);
    const code = error?.code ?? response?.body.error?.code ?? null;
    this.results.set(customId, { file, status, code });
    this[file]++;
    if (code !== null && NOT_RUN.includes(code)) this.#notRun++;
    this.#totalTokens += response?.body.usage?.total_tokens ?? 0;
    return position ?? before;
  }

  close({ request_counts: counts, usage }: Batch): void {
    for (const customId of this.#order.keys()) {
      if (!this.results.has(customId)) this.#object(`${customId} has no line`);
    }
    const expected = {
      total: this.#order.size,
      completed: this.output,
      failed: this.error - this.#notRun,
    };
    if (JSON.stringify(counts) !== JSON.stringify(expected)) {
      this.#object(`counts are ${JSON.stringify(counts)}, lines say ${JSON.stringify(expected)}`);
    }
    if (usage?.total_tokens !== this.#totalTokens) {
      this.#object(`usage is ${usage?.total_tokens} tokens, lines say ${this.#totalTokens}`);
    }
  }
}
