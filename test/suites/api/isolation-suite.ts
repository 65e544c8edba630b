// Who may do what: every route of the API, asked with every kind of key. A route that the server's own
// OpenAPI document has and the table lacks fails the suite.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { batchForm, form } from "../../support/multipart-form.ts";
import { type Answer, type RawRequest, json, send } from "../../support/raw-http.ts";
import { newBatch } from "./refusal.ts";

const ADMIN_KEY = "an-admin-key-of-some-length";

/** What `other` is told: of an object of `own` that there is none, or only of its own things. */
type Kind = "object" | "list" | "create";

interface Row {
  method: string;
  /** `{…}` as the OpenAPI document has it. */
  path: string;
  kind: Kind;
  request?: RawRequest;
}

const post = (body: object): RawRequest => ({ method: "POST", ...json(body) });
const newUpload = { filename: "a.txt", purpose: "user_data", bytes: 5, mime_type: "text/plain" };
const newWebhook = { name: "a", url: "https://example.com/", event_types: ["batch.completed"] };
const part = form({ name: "data", value: "hello", filename: "part" });

/** Routes about projects' things, in an order in which each finds what it needs. */
const rows: readonly Row[] = [
  { method: "GET", path: "/v1/files", kind: "list" },
  { method: "POST", path: "/v1/files", kind: "create", request: batchForm() },
  { method: "GET", path: "/v1/files/{id}", kind: "object" },
  { method: "GET", path: "/v1/files/{id}/content", kind: "object" },
  { method: "GET", path: "/v1/batches", kind: "list" },
  { method: "POST", path: "/v1/batches", kind: "create", request: post(newBatch) },
  { method: "GET", path: "/v1/batches/{id}", kind: "object" },
  { method: "POST", path: "/v1/batches/{id}/cancel", kind: "object", request: { method: "POST" } },
  { method: "POST", path: "/v1/uploads", kind: "create", request: post(newUpload) },
  { method: "POST", path: "/v1/uploads/{id}/parts", kind: "object", request: part },
  {
    method: "POST",
    path: "/v1/uploads/{id}/complete",
    kind: "object",
    request: post({ part_ids: ["{part}"] }),
  },
  { method: "POST", path: "/v1/uploads/{id}/cancel", kind: "object", request: { method: "POST" } },
  // Last, for it takes the file away.
  { method: "DELETE", path: "/v1/files/{id}", kind: "object", request: { method: "DELETE" } },
  { method: "GET", path: "/v1/webhook_endpoints", kind: "list" },
  { method: "POST", path: "/v1/webhook_endpoints", kind: "create", request: post(newWebhook) },
  { method: "GET", path: "/v1/webhook_endpoints/{id}", kind: "object" },
  {
    method: "POST",
    path: "/v1/webhook_endpoints/{id}",
    kind: "object",
    request: post({ name: "b" }),
  },
  {
    method: "POST",
    path: "/v1/webhook_endpoints/{id}/rotate_secret",
    kind: "object",
    request: post({}),
  },
  {
    method: "POST",
    path: "/v1/webhook_endpoints/{id}/test",
    kind: "object",
    request: post({ event_type: "batch.failed" }),
  },
  {
    method: "DELETE",
    path: "/v1/webhook_endpoints/{id}",
    kind: "object",
    request: { method: "DELETE" },
  },
  { method: "GET", path: "/v1/webhook_event_types", kind: "create" },
  { method: "GET", path: "/v1/models", kind: "create" },
];

const adminRows: readonly [method: string, path: string, request?: RawRequest][] = [
  ["GET", "/admin/v1/keys"],
  ["POST", "/admin/v1/keys", post({ project: "new" })],
  ["DELETE", "/admin/v1/keys/{id}", { method: "DELETE" }],
  ["GET", "/admin/v1/webhooks"],
  ["POST", "/admin/v1/webhooks", post({ project: "own", url: "https://example.com/" })],
  ["GET", "/admin/v1/webhooks/{id}"],
  ["POST", "/admin/v1/webhooks/{id}/test", { method: "POST" }],
  ["GET", "/admin/v1/webhooks/{id}/deliveries"],
  ["DELETE", "/admin/v1/webhooks/{id}", { method: "DELETE" }],
];

const openPaths = ["/healthz", "/readyz", "/metrics", "/openapi.json"];
/** One model of all, whatever the project. */
const modelPath = "/v1/models/{model}";

export function isolationSuite(startApi: StartApi): void {
  describe("isolation", () => {
    let api: ApiStack;
    let keys: Record<"own" | "other" | "revoked", string>;

    beforeAll(async () => {
      api = await startApi({ adminKey: ADMIN_KEY });
      const made = {
        own: await api.keys.create("own"),
        other: await api.keys.create("other"),
        revoked: await api.keys.create("own"),
      };
      await api.keys.revoke(made.revoked.apiKey.id);
      keys = { own: made.own.key, other: made.other.key, revoked: made.revoked.key };
    });
    afterAll(() => api.close());

    function ask(path: string, key: string | undefined, request: RawRequest = {}): Promise<Answer> {
      const authorization: Record<string, string> =
        key === undefined ? {} : { authorization: `Bearer ${key}` };
      return send(api.baseUrl, path, {
        ...request,
        headers: { ...request.headers, ...authorization },
      });
    }

    async function idOf(answer: Promise<Answer>): Promise<string> {
      const { status, json: made } = await answer;
      expect(status).toBe(200);
      return (made as { id: string }).id;
    }

    /** Made anew; a project may have only a few. */
    async function ownWebhook(): Promise<string> {
      for (const { id } of await api.store.webhooks.list("own"))
        await api.store.webhooks.delete(id);
      return idOf(ask("/v1/webhook_endpoints", keys.own, post(newWebhook)));
    }

    /** An object of `own` that the route is about, made anew. */
    async function target({
      path,
      request = {},
    }: Row): Promise<{ path: string; request: RawRequest }> {
      if (!path.includes("{id}")) return { path, request };
      const own = (at: string, made: RawRequest) => idOf(ask(at, keys.own, made));
      if (path.startsWith("/v1/files")) {
        return { path: path.replace("{id}", await own("/v1/files", batchForm())), request };
      }
      if (path.startsWith("/v1/batches")) {
        return { path: path.replace("{id}", await own("/v1/batches", post(newBatch))), request };
      }
      if (path.startsWith("/v1/webhook_endpoints")) {
        const id = await ownWebhook();
        return { path: path.replace("{id}", id), request };
      }
      const upload = await own("/v1/uploads", post(newUpload));
      const partId = await own(`/v1/uploads/${upload}/parts`, part);
      const { body } = request;
      const filled = typeof body === "string" ? { body: body.replace("{part}", partId) } : {};
      return { path: path.replace("{id}", upload), request: { ...request, ...filled } };
    }

    test("the table has every route that there is", async () => {
      const document = (await send(api.baseUrl, "/openapi.json")).json as {
        paths: Record<string, Record<string, unknown>>;
      };
      const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
      );
      const listed = [
        ...rows.map(({ method, path }) => `${method} ${path}`),
        ...adminRows.map(([method, path]) => `${method} ${path}`),
        ...[...openPaths, modelPath].map((path) => `GET ${path}`),
      ];
      const withParameters = (route: string) => route.replaceAll(/\{\w+\}/g, "{}");
      const asked = documented.filter((route) => !route.startsWith("HEAD "));
      expect(asked.map(withParameters).toSorted()).toEqual(listed.map(withParameters).toSorted());
    });

    describe.each(rows)("$method $path", (row) => {
      test("serves the project's own key", async () => {
        const { path, request } = await target(row);
        expect((await ask(path, keys.own, request)).status).toBe(200);
      });

      test("tells another project nothing", async () => {
        const { path, request } = await target(row);
        const answer = await ask(path, keys.other, request);
        if (row.kind === "create") {
          expect(answer.status).toBe(200);
        } else if (row.kind === "list") {
          const { data } = answer.json as { data: { id: string }[] };
          const { json: ownPage } = await ask(path, keys.own, request);
          const ownIds = (ownPage as { data: { id: string }[] }).data.map(({ id }) => id);
          expect(data.filter(({ id }) => ownIds.includes(id))).toEqual([]);
        } else {
          const id = path.split("/")[3] as string;
          const missing = `${id.slice(0, -4)}0000`;
          const none = await ask(path.replace(id, missing), keys.other, request);
          expect(answer.status).toBe(404);
          expect(answer.text.replaceAll(id, "ID")).toBe(none.text.replaceAll(missing, "ID"));
          expect(Object.keys(answer.headers)).toEqual(Object.keys(none.headers));
          // And the owner still has it.
          expect((await ask(path, keys.own, request)).status).toBe(200);
        }
      });

      test.each([
        ["a revoked key", () => keys.revoked, 401, "invalid_api_key"],
        ["a key nobody has", () => "sk-nobodys-key-of-some-length", 401, "invalid_api_key"],
        ["no key", () => undefined, 401, null],
        ["the admin key", () => ADMIN_KEY, 403, "project_key_required"],
      ])("refuses %s", async (_name, key, status, code) => {
        const { path, request } = await target(row);
        const { status: came, json: refusal } = await ask(path, key(), request);
        expect({ status: came, refusal }).toMatchObject({
          status,
          refusal: { error: { type: "invalid_request_error", param: null, code } },
        });
      });
    });

    describe.each(adminRows)("%s %s", (_method, path, request) => {
      async function filled(): Promise<string> {
        if (!path.includes("{id}")) return path;
        const collection = path.slice(0, path.indexOf("/{id}"));
        const body = { project: "own", url: "https://example.com/" };
        return path.replace("{id}", await idOf(ask(collection, ADMIN_KEY, post(body))));
      }

      test("serves the admin key", async () => {
        expect((await ask(await filled(), ADMIN_KEY, request)).status).toBe(200);
      });

      test.each([
        ["a project's key", () => keys.own, 403, "admin_key_required"],
        ["a revoked key", () => keys.revoked, 401, "invalid_api_key"],
        ["no key", () => undefined, 401, null],
      ])("refuses %s", async (_name, key, status, code) => {
        const answer = await ask(await filled(), key(), request);
        expect(answer).toMatchObject({ status, json: { error: { code } } });
      });
    });

    test.each(openPaths)("%s is for everybody", async (path) => {
      expect((await ask(path, undefined)).status).toBe(200);
    });

    test("a model is told to projects, and to nobody else", async () => {
      api.models.push({ id: "m", createdAt: 0, ownedBy: "offpeak" });
      expect((await ask("/v1/models/m", keys.other)).status).toBe(200);
      expect((await ask("/v1/models/m", undefined)).status).toBe(401);
      expect((await ask("/v1/models/m", ADMIN_KEY)).status).toBe(403);
    });

    test("an Idempotency-Key of one project is nothing to another", async () => {
      const create = { ...post(newBatch) };
      create.headers = { ...create.headers, "idempotency-key": "the-same" };
      const own = await idOf(ask("/v1/batches", keys.own, create));
      const other = await idOf(ask("/v1/batches", keys.other, create));
      expect(other).not.toBe(own);
    });

    test("a cursor of another project is no cursor", async () => {
      const batch = await idOf(ask("/v1/batches", keys.own, post(newBatch)));
      const file = await idOf(ask("/v1/files", keys.own, batchForm()));
      expect((await ask(`/v1/batches?after=${batch}`, keys.other)).status).toBe(404);
      expect((await ask(`/v1/files?after=${file}`, keys.other)).status).toBe(404);
    });

    test("a key in another form than Bearer is none", async () => {
      const headers = { authorization: `Basic ${Buffer.from(`:${keys.own}`).toString("base64")}` };
      expect((await send(api.baseUrl, "/v1/files", { headers })).status).toBe(401);
    });

    test("with keys any host may be named, and still no foreign page", async () => {
      const headers = { authorization: `Bearer ${keys.own}`, host: "offpeak.example" };
      expect((await send(api.baseUrl, "/v1/files", { headers })).status).toBe(200);
      const page = { ...headers, origin: "https://elsewhere.example" };
      expect((await send(api.baseUrl, "/v1/files", { headers: page })).status).toBe(403);
    });

    test("no key is in the log", () => {
      const log = api.log.join("");
      for (const key of [...Object.values(keys), ADMIN_KEY]) {
        expect(log).not.toContain(key.slice(-20));
      }
    });
  });

  test("without an admin key the admin API is closed", async () => {
    const open = await startApi();
    const answer = await send(open.baseUrl, "/admin/v1/keys", {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    expect(answer).toMatchObject({ status: 403, json: { error: { code: "admin_api_closed" } } });
    await open.close();
  });
}
