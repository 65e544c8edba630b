import type { Batch } from "openai/resources/batches";
// Batch input files as nobody should write them. Each is refused at the upload, fails as a batch with an entry that says
// why, or completes with exactly one result for each line. FUZZ_SEED repeats the random ones.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { hasEnded } from "../support/batch-driver.ts";
import { FuzzedServer } from "../support/fuzzed-server.ts";
import { chatLine } from "../support/input-file.ts";
import { judge } from "../support/judge.ts";
import { form } from "../support/multipart-form.ts";
import { mutated, oneOf } from "../support/mutation.ts";
import { oddJson, oddNames } from "../support/odd-json.ts";
import { seededRandom } from "../support/random.ts";
import { json } from "../support/raw-http.ts";
import { until } from "../support/until.ts";

const MUTATIONS = 200;
const MB = 1_000_000;
const MIB = 1024 * 1024;
const PASSED_ON = "somebody or other who asked for it, a long time ago, and went away";

let server: FuzzedServer;
beforeAll(async () => {
  server = await FuzzedServer.start();
});
afterAll(() => server[Symbol.asyncDispose]());
afterEach(() => server.expectUnharmed());

type Content = string | Uint8Array;
type Ending = "refused" | "failed" | "completed";

/** A good line, with members put in behind `"body":{` and in front of all others. */
function line(customId: string, { inBody = "", inLine = "" } = {}): string {
  const { url, body } = chatLine({ customId, prompt: `Question ${customId}` });
  const text = JSON.stringify({ custom_id: customId, method: "POST", url, body });
  return text.replace('"body":{', () => `"body":{${inBody}`).replace("{", () => `{${inLine}`);
}

/** Another custom_id, as it stands between the quotes. */
function called(customId: string): string {
  return line("@").replace('"custom_id":"@"', () => `"custom_id":"${customId}"`);
}

const [first, last] = [line("first"), line("last")];

/** The line among good ones. */
function among(...lines: Content[]): Buffer {
  return Buffer.concat(
    [first, ...lines, last].flatMap((one) => [Buffer.from(one), Buffer.from("\n")]),
  );
}

/** What the file ended as; when it completed, with one result for each line. */
async function endOf(content: Content, hint: string): Promise<Ending> {
  const purpose = { name: "purpose", value: "batch" };
  const request = form(purpose, { name: "file", value: content, filename: "in.jsonl" });
  const file = await server.ask("/v1/files", request, hint);
  if (file.status !== 200) return "refused";
  const about = {
    input_file_id: (file.json as { id: string }).id,
    endpoint: "/v1/chat/completions",
    completion_window: "24h",
  };
  const { json: made } = await server.ask("/v1/batches", { method: "POST", ...json(about) }, hint);
  const { id } = made as Batch;
  const batch = await until(`the end of ${hint}`, async () => {
    const seen = await server.openai.batches.retrieve(id);
    return hasEnded(seen) && seen;
  });
  if (batch.status === "failed") {
    expect(batch.errors?.data?.length, hint).toBeGreaterThan(0);
    return "failed";
  }
  expect([batch.status, hint]).toEqual(["completed", hint]);
  const { problems } = await judge(server.openai, batch, customIds(content));
  expect(problems, hint).toEqual([]);
  return "completed";
}

/** Of a file that is known to be good. */
function customIds(content: Content): string[] {
  const lines = Buffer.from(content)
    .toString()
    .replace(/^\uFEFF/, "")
    .split("\n");
  const requests = lines.filter((text) => text.trim() !== "");
  return requests.map((text) => (JSON.parse(text) as { custom_id: string }).custom_id);
}

async function expectEnds(cases: readonly [hint: string, Content, Ending?][]): Promise<void> {
  await server.each(cases, async ([hint, content, ending]) => {
    const ended = await endOf(content, hint);
    if (ending !== undefined) expect([hint, ended]).toEqual([hint, ending]);
  });
}

const brokenBytes = [
  [0xff],
  [0xc0, 0x80],
  [0xe2, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf5, 0x80, 0x80, 0x80],
];
const places: [string, (bytes: Buffer) => Content[]][] = [
  ["a text", (bytes) => ['{"custom_id":"', bytes, '"}']],
  ["a name", (bytes) => ['{"', bytes, '":1}']],
  ["front of a line", (bytes) => [bytes, line("a")]],
  ["the end of a line", (bytes) => [line("a"), bytes]],
  ["place of a value", (bytes) => ['{"custom_id":', bytes, "}"]],
  ["place of a line", (bytes) => [bytes]],
  [
    "the prompt",
    (bytes) =>
      line("a")
        .split("Question")
        .flatMap((part, at) => (at ? [bytes, part] : [part])),
  ],
];

describe("an input file", () => {
  test("with broken UTF-8, wherever it is", async () => {
    const joined = (parts: Content[]) => Buffer.concat(parts.map((part) => Buffer.from(part)));
    await expectEnds(
      places.flatMap(([place, make]) =>
        brokenBytes.map((bytes): [string, Content, Ending] => {
          return [
            `${bytes.join(" ")} in ${place}`,
            among(joined(make(Buffer.from(bytes)))),
            "failed",
          ];
        }),
      ),
    );
  });

  test("with odd members", async () => {
    const odd = Object.values(oddJson);
    const inPlace =
      (name: string) =>
      (value: string): [string, Content] => {
        const text = name === "custom_id" ? called("@").replace('"@"', () => value) : line("a");
        const changed =
          name === "model"
            ? text.replace('"simulated-model"', () => value)
            : name === "body"
              ? text.replace(/"body":.*$/, () => `"body":${value}}`)
              : text;
        return [`${name}: ${value.slice(0, 100)}`, among(changed)];
      };
    await expectEnds([
      ...["custom_id", "model", "body"].flatMap((name) => odd.map(inPlace(name))),
      ...odd.map((value): [string, Content] => {
        return [
          `metadata: ${value.slice(0, 100)}`,
          among(line("a", { inBody: `"metadata":${value},` })),
        ];
      }),
      ...odd.map((value): [string, Content] => [`line: ${value.slice(0, 100)}`, among(value)]),
      ...oddNames.map((name): [string, Content, Ending] => {
        const members = `"${name}":{"a":1},`;
        return [
          `member ${name}`,
          among(line("a", { inBody: members, inLine: members })),
          "completed",
        ];
      }),
    ]);
  });

  test("with members twice, and custom_ids that only look different", async () => {
    await expectEnds([
      ["custom_id twice", among(line("a", { inLine: '"custom_id":"b",' })), "failed"],
      [
        "… spelled with an escape",
        among(line("a", { inLine: '"custom\\u005fid":"b",' })),
        "failed",
      ],
      ["body twice", among(line("a", { inLine: '"body":{},' })), "failed"],
      ["model twice", among(line("a", { inBody: '"model":"simulated-model",' })), "failed"],
      ["a member twice, deeper", among(line("a", { inBody: '"x":{"a":1,"a":2},' })), "completed"],
      ["the same after unescaping", among(called("a/b"), called("a\\/b")), "failed"],
      ["the same in hexadecimal", among(called("a"), called("\\u0061")), "failed"],
      ["other halves of pairs", among(called("\\ud800"), called("\\ud801")), "completed"],
      ["composed and decomposed", among(called("\u00e9"), called("e\u0301")), "completed"],
      [
        "names of prototypes",
        among(...["__proto__", "constructor", "toString"].map(called)),
        "completed",
      ],
      [
        "line separators",
        among(called("a\u2028b"), called("a\u2029b"), called("a\u0085b")),
        "completed",
      ],
      ["NULs as escapes", among(called("\\u0000"), called("a\\u0000b"), called("a")), "completed"],
      ["spaces", among(called(" "), called("  "), called("\\t")), "completed"],
      ["64 KiB", among(called("x".repeat(65_536))), "failed"],
    ]);
  });

  test("with odd lines", async () => {
    const bom = "\uFEFF";
    await expectEnds([
      ["nothing", "", "refused"],
      ["line breaks only", "\n\r\n\n", "refused"],
      ["spaces only", `${" ".repeat(MB)}\n`, "refused"],
      ["lines of spaces", among("   ", "\t", " \r", line("a"), ""), "completed"],
      ["100,000 lines of spaces", among(" \n".repeat(100_000)), "completed"],
      ["CRLF", among(`${line("a")}\r`, `${line("b")}\r`), "completed"],
      ["CR only", [first, last].join("\r"), "refused"],
      ["CR only, behind a line", among(`${line("a")}\r${line("b")}`), "failed"],
      ["a NUL line", among("\0"), "failed"],
      ["a NUL at the end", Buffer.concat([among(), Buffer.from("\0")]), "failed"],
      ["a NUL in a text", among(line("a\0").replace("\\u0000", "\0")), "failed"],
      ["a byte order mark", bom + first, "completed"],
      ["two byte order marks", bom + bom + first, "failed"],
      ["a byte order mark in the middle", among(bom + line("a")), "failed"],
      ["a byte order mark as a line", among(bom), "failed"],
      ["UTF-16", Buffer.from(`${bom}${first}\n`, "utf16le"), "refused"],
      ["U+2028 between lines", among(`${line("a")}\u2028${line("b")}`), "failed"],
      ["U+2028 in texts", among(line("a").replace("Question", "\u2028\u2029\u0085")), "completed"],
      ["no last line break", `${first}\n${last}`, "completed"],
      ["an array of lines", `[${first},${last}]`, "failed"],
      ["a line over several", JSON.stringify(JSON.parse(first), null, 1), "refused"],
      [
        "numbers out of range",
        among(line("a", { inBody: '"n":[1e400,-1e400,-0,9007199254740993],' })),
        "completed",
      ],
    ]);
  });

  test("with endless lines", async () => {
    await expectEnds([
      ["a line of 64 MiB", among(line("a".repeat(64 * MIB))), "failed"],
      ["a first line of 64 MiB", line("a".repeat(64 * MIB)), "failed"],
      ["arrays without an end", among("[".repeat(MB)), "failed"],
      ["more arrays than are read", among("[".repeat(8 * MIB)), "failed"],
      [
        "arrays in arrays",
        among(line("a", { inBody: `"x":${"[".repeat(MB / 2)}${"]".repeat(MB / 2)},` })),
      ],
      ["objects without an end", among('{"a":'.repeat(MB / 5)), "failed"],
      ["a text without an end", among(`"${"x".repeat(MB)}`), "failed"],
      ["a first line of brackets", "[".repeat(2 * MIB), "refused"],
    ]);
  });

  test("with random changes", async () => {
    const random = seededRandom("FUZZ_SEED");
    console.info(`FUZZ_SEED=${random.seed}`);
    const ends = { refused: 0, failed: 0, completed: 0 };
    const good = line("a", { inBody: `"user":"${PASSED_ON}",` });
    await server.each(Array.from({ length: MUTATIONS }), async () => {
      // Most changes of a line make a batch fail: half of them are in what is only passed on.
      const piece = oneOf(random, [good, PASSED_ON]);
      const changed = mutated(Buffer.from(piece), random);
      const [before = "", behind = ""] = good.split(piece);
      const content = among(Buffer.concat([Buffer.from(before), changed, Buffer.from(behind)]));
      ends[await endOf(content, content.toString())]++;
    });
    console.info(JSON.stringify(ends));
    expect(Math.min(ends.failed, ends.completed)).toBeGreaterThan(0);
  });
});
