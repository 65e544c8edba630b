// What the suite relies on: its checks find what they are for, and its command says when a case failed.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { checkShape } from "./checks.ts";
import { deletedFileSchema, fileSchema } from "./schemas/file.ts";
import { modelSchema } from "./schemas/list.ts";

const model = { id: "m", object: "model", created: 1_700_000_000, owned_by: "us" };

test("a value as the schema says is fine", () => {
  expect(() => checkShape(model, modelSchema)).not.toThrow();
});

test.each<[string, object, RegExp]>([
  ["a missing member", { id: "m", object: "model", created: 1_700_000_000 }, /owned_by/],
  ["a further member", { ...model, extra: 1 }, /additional/],
  ["another order", Object.fromEntries(Object.entries(model).toReversed()), /in OpenAI's order/],
  ["an empty text", { ...model, id: "" }, /\/id/],
  ["null where there must be something", { ...model, id: null }, /\/id must be string/],
  ["a fraction of a second", { ...model, created: 1_700_000_000.5 }, /\/created must be integer/],
  ["milliseconds as text", { ...model, created: "1700000000" }, /\/created must be integer/],
  ["another constant", { ...model, object: "models" }, /\/object/],
])("%s is found", (_what, value, message) => {
  expect(() => checkShape(value, modelSchema)).toThrow(message);
});

test("an empty text is no null", () => {
  const file = Object.fromEntries(Object.keys(fileSchema.properties!).map((name) => [name, ""]));
  expect(() => checkShape(file, fileSchema)).toThrow("/expires_at must be null");
});

test("false is not true", () => {
  const answer = { object: "file", id: "file-1", deleted: false };
  expect(() => checkShape(answer, deletedFileSchema)).toThrow("/deleted");
});

test("the command ends with 1 when a case fails, and counts those that it could not run apart", async () => {
  await using server = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/v1`;
  const { code, stdout } = await command("--base-url", url, "--only", "batches.list.limit");
  expect(code).toBe(1);
  expect(stdout).toMatch(/^FAILED {2}batches\.list\.limit-zero: /m);
  expect(stdout).toMatch(/^not run batches\.list\.limit-type: .* \(needs offpeak\)$/m);
  expect(stdout).toContain("3 cases run: 0 ok, 3 failed. Not run here: 1.");
});

test("the command ends with 2 when it is called wrongly", async () => {
  expect(await command()).toMatchObject({ code: 2, stdout: "" });
});

async function command(...flags: string[]): Promise<{ code: unknown; stdout: string }> {
  const script = fileURLToPath(new URL("run.ts", import.meta.url));
  const all = flags.length > 0 ? [...flags, "--api-key", "any", "--model", "m"] : [];
  const child = execFile(process.execPath, [script, ...all]);
  let stdout = "";
  child.stdout?.on("data", (text: string) => (stdout += text));
  const [code] = (await once(child, "close")) as [unknown];
  return { code, stdout };
}
