// What holds for every request: headers, methods, who may ask; and the routes of models and operations.
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { json, send } from "../../support/raw-http.ts";

export function serverSuite(startApi: StartApi): void {
  describe("server", () => {
    let api: ApiStack;

    beforeAll(async () => {
      api = await startApi();
    });
    afterAll(() => api.close());

    const paths = [
      "/v1/batches",
      "/v1/files",
      "/v1/files/nothing",
      "/v1/models",
      "/v1/nothing",
      "/v1/files/%zz",
      "/healthz",
      "/metrics",
    ];
    test.each(paths)("every answer has its headers: %s", async (path) => {
      const answers = [
        await send(api.baseUrl, path),
        await send(api.baseUrl, path, { method: "PATCH", ...json({}) }),
        await send(api.baseUrl, path, { headers: { origin: "http://elsewhere.example" } }),
      ];
      for (const { headers } of answers) {
        expect(headers).toMatchObject({
          "x-request-id": expect.stringMatching(/^req_[0-9a-f]{32}$/),
          "openai-processing-ms": expect.stringMatching(/^\d+$/),
          "openai-version": "2020-10-01",
          "x-content-type-options": "nosniff",
        });
        expect(headers).not.toHaveProperty("access-control-allow-origin");
      }
      expect(new Set(answers.map(({ headers }) => headers["x-request-id"])).size).toBe(3);
    });

    test("a request id of the client's own is not taken over", async () => {
      const { headers } = await send(api.baseUrl, "/healthz", {
        headers: { "x-request-id": "mine" },
      });
      expect(headers["x-request-id"]).not.toBe("mine");
    });

    test.each([
      ["/v1/batches", "POST, GET, HEAD"],
      ["/v1/batches/batch_1", "GET, HEAD"],
      ["/v1/batches/batch_1/cancel", "POST"],
      ["/v1/files", "GET, HEAD, POST"],
      ["/v1/files/file-1", "GET, HEAD, DELETE"],
      ["/v1/files/file-1/content", "GET, HEAD"],
      ["/v1/uploads", "POST"],
      ["/v1/uploads/upload_1/parts", "POST"],
      ["/v1/uploads/upload_1/complete", "POST"],
      ["/v1/uploads/upload_1/cancel", "POST"],
      ["/v1/models", "GET, HEAD"],
      ["/v1/models/a/b", "GET, HEAD"],
      ["/healthz", "GET, HEAD"],
      ["/readyz", "GET, HEAD"],
      ["/metrics", "GET, HEAD"],
      ["/openapi.json", "GET, HEAD"],
    ])("%s names its methods when asked with another one", async (path, allow) => {
      const allowed = allow.split(", ");
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
        if (allowed.includes(method)) continue;
        const answer = await send(api.baseUrl, `${path}?x=1`, { method, ...json({ a: 1 }) });
        expect(answer).toMatchObject({
          status: 405,
          json: { error: { message: `Invalid method for URL (${method} ${path})` } },
        });
        expect(answer.headers["allow"]?.split(", ").toSorted()).toEqual(allowed.toSorted());
      }
    });

    test.each([
      ["no key", {}],
      ["any key", { authorization: "Bearer whatever" }],
      ["its own origin", { origin: "own" }],
      ["another name of this machine", { host: "localhost:1" }],
      ["an address of this machine", { host: "127.0.0.2" }],
      ["IPv6's name of this machine", { host: "[::1]:8024" }],
    ])("on loopback it serves requests with %s", async (_name, headers: Record<string, string>) => {
      const sent = headers["origin"] === "own" ? { origin: api.baseUrl } : headers;
      expect((await send(api.baseUrl, "/v1/models", { headers: sent })).status).toBe(200);
    });

    test("beyond loopback it serves any name, and still no foreign page", async () => {
      const open = await startApi({ anyHost: true });
      const host = "offpeak.example:8024";
      const get = (headers: Record<string, string>) =>
        send(open.baseUrl, "/v1/models", { headers });
      expect((await get({ host })).status).toBe(200);
      expect((await get({ host, origin: `https://${host}` })).status).toBe(200);
      expect((await get({ host, origin: "https://other.example:8024" })).status).toBe(403);
      await open.close();
    });

    test.each([
      ["no HTTP", "hello\r\n\r\n", 400],
      ["no Host", "GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n", 400],
      [
        "an expectation",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nexpect: tea\r\nconnection: close\r\n\r\n",
        417,
      ],
      [
        "too long headers",
        `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${"x".repeat(20_000)}\r\n\r\n`,
        431,
      ],
    ])("%s is answered in the envelope", async (_name, text, status) => {
      const { hostname, port } = new URL(api.baseUrl);
      const socket = connect(Number(port), hostname);
      const received: Uint8Array[] = [];
      socket.on("data", (chunk) => received.push(chunk as Uint8Array));
      socket.write(text);
      await once(socket, "close");
      const [head = "", body = ""] = Buffer.concat(received).toString().split("\r\n\r\n");
      expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      expect(JSON.parse(body)).toMatchObject({
        error: { type: "invalid_request_error", code: null },
      });
    });

    test("a client that asks before it sends is told to go on", async () => {
      const { hostname, port } = new URL(api.baseUrl);
      const headers = { "content-type": "application/json", expect: "100-continue" };
      const options = { hostname, port, path: "/v1/batches", method: "POST", headers };
      const asking = request(options);
      asking.flushHeaders();
      await once(asking, "continue");
      asking.end("{}");
      const [answer] = (await once(asking, "response")) as [IncomingMessage];
      expect(answer.resume().statusCode).toBe(400);
    });

    test("models are those that can be named now, slashes and all", async () => {
      const openai = new OpenAI({ baseURL: `${api.baseUrl}/v1`, apiKey: "any" });
      expect((await send(api.baseUrl, "/v1/models")).json).toEqual({ object: "list", data: [] });
      const id = "meta-llama/Llama-3.1-8B-Instruct";
      api.models.push({ id, createdAt: 1_760_731_584_000, ownedBy: "llama" });
      const model = { id, object: "model", created: 1_760_731_584, owned_by: "llama" };
      expect((await openai.models.list()).data).toEqual([model]);
      expect(await openai.models.retrieve(id)).toEqual(model);
      expect((await send(api.baseUrl, `/v1/models/${id}`)).json).toEqual(model);
      expect((await send(api.baseUrl, "/v1/models/other")).status).toBe(404);
    });

    test("healthz says that the process is there", async () => {
      expect(await send(api.baseUrl, "/healthz")).toMatchObject({
        status: 200,
        json: { status: "ok" },
      });
    });

    test("readyz says whether it can work, and what is in the way", async () => {
      expect(await send(api.baseUrl, "/readyz")).toMatchObject({
        status: 200,
        json: { ready: true },
      });
      api.readiness.ready = false;
      api.readiness.checks = [
        { upstream: "llama", model: null, state: "paused", reason: "connection refused" },
      ];
      expect(await send(api.baseUrl, "/readyz")).toMatchObject({
        status: 503,
        headers: { "retry-after": "8" },
        json: { ready: false, checks: api.readiness.checks },
      });
    });

    test("metrics count requests by method, route and status", async () => {
      await send(api.baseUrl, "/v1/files/file-unknown");
      await send(api.baseUrl, "/v1/some/thing", { method: "POST" });
      const { text, headers } = await send(api.baseUrl, "/metrics");
      expect(headers["content-type"]).toMatch(/^text\/plain/);
      expect(text).toMatch(
        /offpeak_http_requests_total\{method="GET",route="\/v1\/files\/:id",status="404"\} [1-9]/,
      );
      expect(text).toMatch(
        /offpeak_http_requests_total\{method="POST",route="unknown",status="404"\} [1-9]/,
      );
      expect(text).toContain('offpeak_batches{status="validating"} 0');
      expect(text).not.toContain("file-unknown");
    });

    test("the log names requests and batches, and no keys", async () => {
      const openai = new OpenAI({ baseURL: `${api.baseUrl}/v1`, apiKey: "sk-very-secret" });
      const batch = await openai.batches.create({
        input_file_id: "file-1",
        endpoint: "/v1/embeddings",
        completion_window: "24h",
      });
      const lines = api.log.map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines).toContainEqual(
        expect.objectContaining({
          batch_id: batch.id,
          request_id: expect.stringMatching(/^req_/),
          msg: "batch created",
        }),
      );
      expect(api.log.join("")).not.toContain("sk-very-secret");
    });
  });
}
