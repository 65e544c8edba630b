// What holds for every route: keys, paths, methods, bodies, headers.
import { strict as assert } from "node:assert";
import { BATCHES_PER_HOUR, type Case } from "../case.ts";
import { ok, refused } from "../checks.ts";
import {
  CHAT,
  cancel,
  failedBatch,
  newBatch,
  refusedLine,
  sendFile,
  sharedInput,
} from "../samples.ts";
import { batchSchema } from "../schemas/batch.ts";
import { fileSchema } from "../schemas/file.ts";
import { modelsSchema, pageSchema } from "../schemas/list.ts";
import type { Answer, Target } from "../target.ts";

const batchPage = pageSchema(batchSchema);

/** A success, a refusal by the route, and a refusal before any route. */
async function severalAnswers(target: Target): Promise<Answer[]> {
  const page = await target.send("/models");
  ok(page, modelsSchema);
  const noBatch = await target.send("/batches/batch_nobody");
  refused(noBatch, { status: 404, message: /batch_nobody/ });
  const noRoute = await target.send("/nothing-here");
  refused(noRoute, { status: 404, message: /nothing-here/ });
  return [page, noBatch, noRoute];
}

export const httpCases: readonly Case[] = [
  {
    row: "http.json-type",
    name: "successes and refusals are application/json",
    async run(target) {
      for (const { headers } of await severalAnswers(target)) {
        assert.match(headers.get("content-type") ?? "", /^application\/json\b/);
      }
    },
  },
  {
    row: "http.json-layout",
    name: "JSON has no spaces or line breaks between its tokens",
    needs: ["offpeak"],
    async run(target) {
      for (const { text, json } of await severalAnswers(target)) {
        assert.equal(text, JSON.stringify(json));
      }
    },
  },
  {
    row: "http.error-envelope",
    name: "an error has message, type, param and code, null where there is nothing to say",
    async run(target) {
      const answer = await target.send("/batches/batch_nobody");
      const error = refused(answer, { status: 404, message: /batch_nobody/ });
      assert.deepEqual(Object.keys(error), ["message", "type", "param", "code"]);
      assert.equal(error["param"], null);
      assert.equal(error["code"], null);
    },
  },
  {
    row: "http.error-detail",
    name: "a refusal of a files route has no member beside `error`",
    needs: ["offpeak"],
    async run(target) {
      const answer = await target.send("/files/file-nobody");
      refused(answer, { status: 404, param: "id" });
      assert.deepEqual(Object.keys(answer.json as object), ["error"]);
    },
  },
  {
    row: "http.auth.missing",
    name: "a request without a key is a 401 whose param and code are null",
    needs: ["other-project"],
    async run(target) {
      for (const path of ["/batches", "/files", "/models"]) {
        const answer = await target.send(path, { apiKey: null });
        refused(answer, { status: 401, param: null, code: null });
      }
    },
  },
  {
    row: "http.auth.wrong",
    name: "a key that does not exist is a 401 with the code invalid_api_key, and is not echoed whole",
    needs: ["other-project"],
    async run(target) {
      const apiKey = "sk-this-key-was-never-made-0123456789";
      const answer = await target.send("/batches", { apiKey });
      refused(answer, { status: 401, param: null, code: "invalid_api_key" });
      assert.ok(!answer.text.includes(apiKey), answer.text);
    },
  },
  {
    row: "http.auth.no-keys",
    name: "a server without keys takes any key, and none",
    needs: ["open-server"],
    async run(target) {
      const open = target.with("open-server");
      ok(await open.send("/batches", { apiKey: "anything" }), batchPage);
      ok(await open.send("/batches", { apiKey: null }), batchPage);
    },
  },
  {
    row: "http.request-headers",
    name: "headers of SDKs and of organizations change nothing",
    async run(target) {
      const headers = {
        "openai-organization": "org-x",
        "openai-project": "proj_x",
        "x-stainless-lang": "python",
        "x-stainless-retry-count": "1",
        "x-stainless-read-timeout": "600",
        "x-stainless-async": "async:asyncio",
        "user-agent": "AsyncOpenAI/Python 3.3.1",
      };
      const { id } = await sharedInput(target);
      const plain = ok(await target.send(`/files/${id}`), fileSchema);
      assert.deepEqual(ok(await target.send(`/files/${id}`, { headers }), fileSchema), plain);
    },
  },
  {
    row: "http.accept",
    name: "JSON comes whatever the client says it accepts",
    async run(target) {
      for (const accept of ["application/binary", "text/html", "*/*"]) {
        ok(await target.send("/models", { headers: { accept } }), modelsSchema);
      }
    },
  },
  {
    row: "http.path-unknown",
    name: "an unknown path is a 404 that names method and path",
    async run(target) {
      const path = `${new URL(target.baseUrl).pathname}/nothing-here`;
      refused(await target.post("/nothing-here?a=b", {}), {
        status: 404,
        param: null,
        code: null,
        message: `Invalid URL (POST ${path})`,
      });
    },
  },
  {
    row: "http.method-wrong",
    name: "a known path with another method is a 405",
    async run(target) {
      const path = `${new URL(target.baseUrl).pathname}/batches`;
      const answer = await target.send("/batches", { method: "DELETE" });
      refused(answer, { status: 405, message: `Invalid method for URL (DELETE ${path})` });
    },
  },
  {
    row: "http.method-wrong",
    name: "… that says which methods there are",
    needs: ["offpeak"],
    async run(target) {
      const { headers } = await target.send("/batches", { method: "DELETE" });
      const allowed = (headers.get("allow") ?? "").split(", ").toSorted();
      assert.deepEqual(allowed, ["GET", "HEAD", "POST"]);
    },
  },
  {
    row: "http.json-malformed",
    name: "a body that is not JSON is a 400 that says so",
    async run(target) {
      const headers = { "content-type": "application/json" };
      for (const body of ["{", '{"endpoint": }', "no json"]) {
        const answer = await target.send("/batches", { method: "POST", headers, body });
        refused(answer, { status: 400, message: /JSON/ });
      }
    },
  },
  {
    row: "http.body-not-object",
    name: "a JSON body that is no object is a 400",
    async run(target) {
      for (const body of [[], "text", 7]) {
        refused(await target.post("/batches", body), { status: 400 });
      }
    },
  },
  {
    row: "http.body-empty",
    name: "an empty JSON body where one is needed misses its first member",
    async run(target) {
      const headers = { "content-type": "application/json" };
      refused(await target.send("/batches", { method: "POST", headers, body: "" }), {
        status: 400,
      });
    },
  },
  {
    row: "http.content-type",
    name: "another type of body is a 400 that says which is expected",
    needs: ["offpeak"],
    async run(target) {
      const asText = { method: "POST", headers: { "content-type": "text/plain" } };
      const message = /application\/json/;
      const answer = await target.send("/batches", { ...asText, body: "{}" });
      refused(answer, { status: 400, code: "unsupported_content_type", message });
      refused(await target.post("/files", {}), {
        status: 400,
        code: "unsupported_content_type",
        message: /multipart\/form-data/,
      });
    },
  },
  {
    row: "http.content-type",
    name: "JSON with a charset is JSON",
    async run(target) {
      const headers = { "content-type": "application/json; charset=utf-8" };
      ok(await target.post("/batches", await newBatch(target), headers), batchSchema);
    },
  },
  {
    row: "http.body-too-large",
    name: "a JSON body over 1 MiB is a 413 in the envelope",
    needs: ["offpeak"],
    async run(target) {
      const body = { ...(await newBatch(target)), metadata: { a: "x".repeat(1024 * 1024) } };
      refused(await target.post("/batches", body), { status: 413, message: /1048576/ });
    },
  },
  {
    row: "http.query-unknown",
    name: "query keys that a route does not know change nothing",
    async run(target) {
      ok(await target.send("/batches?limit=1&colour=red"), batchPage);
      ok(await target.send("/models?limit=1&colour=red"), modelsSchema);
    },
  },
  {
    row: "http.members-unknown",
    name: "members of a body that a route does not know change nothing",
    needs: ["offpeak"],
    async run(target) {
      const body = { ...(await newBatch(target)), priority: 3 };
      const batch = ok(await target.post("/batches", body), batchSchema);
      assert.ok(!("priority" in batch));
    },
  },
  {
    row: "http.header.x-request-id",
    name: "every answer has an x-request-id of its own, req_ and 32 hex digits",
    async run(target) {
      const ids = (await severalAnswers(target)).map(({ headers }) => headers.get("x-request-id"));
      for (const id of ids) assert.match(id ?? "", /^req_[0-9a-f]{32}$/);
      assert.equal(new Set(ids).size, ids.length);
    },
  },
  {
    row: "http.header.openai-processing-ms",
    name: "every answer says in whole milliseconds how long it took",
    async run(target) {
      for (const { headers } of await severalAnswers(target)) {
        assert.match(headers.get("openai-processing-ms") ?? "", /^\d+$/);
      }
    },
  },
  {
    row: "http.header.openai-version",
    name: "every answer names the version 2020-10-01",
    async run(target) {
      for (const { headers } of await severalAnswers(target)) {
        assert.equal(headers.get("openai-version"), "2020-10-01");
      }
    },
  },
  {
    row: "http.header.nosniff",
    name: "every answer forbids guessing its type",
    async run(target) {
      for (const { headers } of await severalAnswers(target)) {
        assert.equal(headers.get("x-content-type-options"), "nosniff");
      }
    },
  },
  {
    row: "http.header.openai-organization",
    name: "no answer names an organization or a project",
    needs: ["offpeak"],
    async run(target) {
      for (const { headers } of await severalAnswers(target)) {
        assert.equal(headers.get("openai-organization"), null);
        assert.equal(headers.get("openai-project"), null);
      }
    },
  },
  {
    row: "http.header.strict-transport-security",
    name: "no answer speaks of TLS",
    needs: ["offpeak"],
    async run(target) {
      for (const { headers } of await severalAnswers(target)) {
        assert.equal(headers.get("strict-transport-security"), null);
      }
    },
  },
  {
    row: "http.header.access-control-allow-origin",
    name: "no answer lets the pages of other origins read it",
    needs: ["offpeak"],
    async run(target) {
      const answers = [
        ...(await severalAnswers(target)),
        await target.send("/files", { headers: { origin: "https://example.com" } }),
      ];
      for (const { headers } of answers) {
        assert.equal(headers.get("access-control-allow-origin"), null);
      }
    },
  },
  {
    row: "http.header.ratelimit",
    name: "files and batches carry no x-ratelimit headers",
    async run(target) {
      await sharedInput(target);
      for (const path of ["/files?limit=1", "/batches?limit=1"]) {
        const { headers } = await target.send(path);
        const names = [...headers.keys()].filter((name) => name.startsWith("x-ratelimit"));
        assert.deepEqual(names, []);
      }
    },
  },
  {
    row: "http.header.x-should-retry",
    name: "a 409 tells SDKs not to repeat the request",
    async run(target) {
      const { id } = await failedBatch(target);
      const { status, headers } = await cancel(target, id);
      assert.equal(status, 409);
      assert.equal(headers.get("x-should-retry"), "false");
    },
  },
  {
    row: "http.header.retry-after",
    name: "a 429 says how many seconds to wait, at most 8",
    needs: ["rate-limit"],
    async run(target) {
      const limited = target.with("rate-limit");
      const { headers } = await limited.once("429", () => overTheHourlyLimit(limited));
      const seconds = Number(headers.get("retry-after"));
      assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 8, `${seconds}`);
    },
  },
  {
    row: "batches.create.rate",
    name: "more batches in an hour than the project may create are a 429",
    needs: ["rate-limit"],
    async run(target) {
      const limited = target.with("rate-limit");
      refused(await limited.once("429", () => overTheHourlyLimit(limited)), {
        status: 429,
        type: "requests",
        code: "rate_limit_exceeded",
      });
    },
  },
  {
    row: "http.foreign-pages",
    name: "a request from a web page of another origin is a 403",
    needs: ["offpeak"],
    async run(target) {
      const answer = await target.send("/models", { headers: { origin: "https://example.com" } });
      refused(answer, { status: 403, code: "origin_not_allowed" });
    },
  },
  {
    row: "http.refusal-then-success",
    name: "an upload that is refused leaves the connection in order",
    async run(target) {
      const big = `${JSON.stringify(refusedLine(target, "x".repeat(300_000)))}\n`;
      const bad = await sendFile(target, big, { purpose: "nonsense" });
      refused(bad, { status: 400, param: "purpose" });
      ok(await target.send("/models"), modelsSchema);
    },
  },
];

/** The first 429 of a project that creates one batch after another. */
async function overTheHourlyLimit(limited: Target) {
  for (let made = 0; made <= BATCHES_PER_HOUR; made += 1) {
    const answer = await limited.post("/batches", {
      input_file_id: "file-nobody",
      endpoint: CHAT,
      completion_window: "24h",
    });
    if (answer.status !== 200) return answer;
  }
  throw new Error(`more than ${BATCHES_PER_HOUR} batches were created within an hour`);
}
