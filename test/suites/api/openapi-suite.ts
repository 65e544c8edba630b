// The OpenAPI document: it is whole, and what the server answers is what it says.
import { Errors } from "typebox/schema";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { batchStatuses } from "../../../src/core/batch.ts";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { bring } from "../../support/batch-states.ts";
import { batchForm, partForm } from "../../support/multipart-form.ts";
import { type Answer, type RawRequest, json, send } from "../../support/raw-http.ts";
import { newBatch, post } from "./refusal.ts";

interface Operation {
  operationId?: string;
  tags?: string[];
  security?: object[];
  parameters?: { in: string; name: string; style?: string }[];
  requestBody?: { content: Record<string, { schema: { properties: object } }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
  "x-beyond-openai"?: boolean;
}

interface OpenApi {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { properties: object }>; securitySchemes: object };
}

/** In the order in which OpenAI's own answers have them. */
const members: Record<string, string> = {
  Batch:
    "id object endpoint model errors input_file_id completion_window status output_file_id error_file_id " +
    "created_at in_progress_at expires_at finalizing_at completed_at failed_at expired_at cancelling_at " +
    "cancelled_at request_counts usage metadata",
  File: "object id purpose filename bytes created_at expires_at status status_details",
  Upload: "id object bytes created_at filename purpose status expires_at file",
  UploadPart: "id object created_at upload_id",
};

/** Every path but those of the administrator. */
const paths = [
  "/v1/batches",
  "/v1/batches/{id}",
  "/v1/batches/{id}/cancel",
  "/v1/files",
  "/v1/files/{id}",
  "/v1/files/{id}/content",
  "/v1/uploads",
  "/v1/uploads/{id}/parts",
  "/v1/uploads/{id}/complete",
  "/v1/uploads/{id}/cancel",
  "/v1/webhook_endpoints",
  "/v1/webhook_endpoints/{id}",
  "/v1/webhook_endpoints/{id}/rotate_secret",
  "/v1/webhook_endpoints/{id}/test",
  "/v1/webhook_event_types",
  "/v1/models",
  "/v1/models/{model}",
  "/healthz",
  "/readyz",
  "/metrics",
  "/openapi.json",
];

export function openapiSuite(startApi: StartApi): void {
  describe("openapi", () => {
    let api: ApiStack;
    let document: OpenApi;
    let operations: (Operation & { method: string; path: string })[];

    beforeAll(async () => {
      api = await startApi();
      document = (await send(api.baseUrl, "/openapi.json")).json as OpenApi;
      operations = Object.entries(document.paths).flatMap(([path, item]) =>
        Object.entries(item).map(([method, operation]) => ({ ...operation, method, path })),
      );
    });
    afterAll(() => api.close());

    test("it is OpenAPI 3.1, and every reference in it leads somewhere", () => {
      expect(document.openapi).toBe("3.1.0");
      const references = JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g);
      const targets = new Set([...references].map(([, target]) => target as string));
      expect(targets.size).toBeGreaterThan(5);
      for (const target of targets) {
        const name = /^#\/components\/schemas\/(\w+)$/.exec(target)?.[1] ?? target;
        expect(document.components.schemas).toHaveProperty(name);
      }
      expect(JSON.stringify(document)).not.toContain('"nullable"');
    });

    test("every route is in it, with all its methods", async () => {
      // Who asks for the administrator's must have a key; the isolation suite does.
      const found = Object.keys(document.paths).filter((path) => !path.startsWith("/admin/"));
      expect(found.toSorted()).toEqual(paths.toSorted());
      for (const path of found) {
        const url = path.replaceAll(/\{\w+\}/g, "x");
        const { headers } = await send(api.baseUrl, url, { method: "OPTIONS" });
        const allowed = headers["allow"]?.split(", ").filter((method) => method !== "HEAD");
        const item = document.paths[path] as object;
        const documented = Object.keys(item).map((method) => method.toUpperCase());
        expect([path, documented.toSorted()]).toEqual([path, allowed?.toSorted()]);
      }
    });

    test("every operation has a name of its own, a tag, a key, and says what a refusal is", () => {
      const names = operations.map(({ operationId }) => operationId);
      expect(names).not.toContain(undefined);
      expect(new Set(names).size).toBe(names.length);
      for (const { path, tags, security, responses, "x-beyond-openai": beyond } of operations) {
        expect(tags).toHaveLength(1);
        const isApi = path.startsWith("/v1/");
        const isOpen = !isApi && !path.startsWith("/admin/");
        expect([path, security]).toEqual([path, isOpen ? [] : [{ key: [] }]]);
        expect([path, beyond ?? false]).toEqual([path, !isApi]);
        expect(responses["default"]?.content?.["application/json"]?.schema).toEqual({
          $ref: "#/components/schemas/Error",
        });
        expect(Object.keys(responses)).toContain("200");
      }
    });

    test("parameters of paths are named, and forms, keys and filters are described", () => {
      for (const { path, parameters = [] } of operations) {
        const inPath = parameters.filter((parameter) => parameter.in === "path");
        const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
        expect([path, inPath.map(({ name }) => name)]).toEqual([path, named]);
      }
      const keyed = operations.filter(({ parameters = [] }) =>
        parameters.some(({ name }) => name === "idempotency-key"),
      );
      expect(new Set(keyed.map(({ operationId }) => operationId))).toEqual(
        new Set(["createBatch", "createFile", "createUpload", "addUploadPart"]),
      );
      const form = (path: string) =>
        document.paths[path]?.["post"]?.requestBody?.content["multipart/form-data"]?.schema
          .properties;
      expect(Object.keys(form("/v1/files") ?? {})).toEqual([
        "file",
        "purpose",
        "expires_after[anchor]",
        "expires_after[seconds]",
      ]);
      expect(Object.keys(form("/v1/uploads/{id}/parts") ?? {})).toEqual(["data"]);
      expect(document.paths["/v1/batches"]?.["get"]?.parameters).toContainEqual(
        expect.objectContaining({ name: "metadata", style: "deepObject" }),
      );
    });

    test.each(Object.entries(members))("%s has its members in OpenAI's order", (name, order) => {
      const { properties = {} } = document.components.schemas[name] ?? {};
      expect(Object.keys(properties)).toEqual(order.split(" "));
    });

    /** Fails unless the answer is what the document says of the operation, in just these members. */
    function expectDocumented(method: string, path: string, { status, json: body }: Answer): void {
      const { responses = {} } = document.paths[path]?.[method] ?? {};
      const response = responses[status] ?? responses["default"];
      const schema = response?.content?.["application/json"]?.schema ?? false;
      const [, problems] = Errors({ allOf: [schema], components: document.components }, body);
      expect([path, status, problems]).toEqual([path, status, []]);
    }

    async function ask(
      method: string,
      path: string,
      id: string,
      request: RawRequest = {},
    ): Promise<Answer> {
      const url = path.replace(/\{\w+\}/, id);
      const answer = await send(api.baseUrl, url, { method: method.toUpperCase(), ...request });
      expectDocumented(method, path, answer);
      return answer;
    }

    const idOf = ({ json: body }: Answer) => (body as { id: string }).id;

    test.each(batchStatuses)("a batch that is %s is what the document says", async (status) => {
      const metadata = { a: "b" };
      const id = idOf(await ask("post", "/v1/batches", "", json({ ...newBatch, metadata })));
      await bring(api.store, { id }, status);
      const answer = await ask("get", "/v1/batches/{id}", id);
      expect(Object.keys(answer.json as object).join(" ")).toBe(members["Batch"]);
      await ask("post", "/v1/batches/{id}/cancel", id);
      await ask("get", "/v1/batches", "");
    });

    test("files, uploads, models and what operators ask are what the document says", async () => {
      const fileId = idOf(await ask("post", "/v1/files", "", batchForm()));
      await ask("get", "/v1/files/{id}", fileId);
      await ask("get", "/v1/files", "");
      const about = { filename: "a", purpose: "evals", bytes: 1, mime_type: "text/plain" };
      for (const end of ["complete", "cancel"]) {
        const upload = idOf(await ask("post", "/v1/uploads", "", json(about)));
        const part = await ask("post", "/v1/uploads/{id}/parts", upload, partForm("x"));
        const body = json({ part_ids: [idOf(part)] });
        const answer = await ask("post", `/v1/uploads/{id}/${end}`, upload, body);
        expect(Object.keys(answer.json as object).join(" ")).toBe(members["Upload"]);
      }
      await ask("delete", "/v1/files/{id}", fileId);
      api.models.push({ id: "a/b", createdAt: 1_000, ownedBy: "us" });
      await ask("get", "/v1/models", "");
      await ask("get", "/v1/models/{model}", "a/b");
      api.readiness.checks = [{ upstream: "llama", model: null, state: "ok", reason: null }];
      for (const ready of [true, false]) {
        api.readiness.ready = ready;
        expect((await ask("get", "/readyz", "")).status).toBe(ready ? 200 : 503);
      }
      await ask("get", "/healthz", "");
    });

    test("refusals are what the document says", async () => {
      const refusals: [string, string, RawRequest, number][] = [
        ["get", "/v1/files/{id}", {}, 404],
        ["get", "/v1/files/{id}/content", {}, 404],
        ["get", "/v1/models/{model}", {}, 404],
        ["post", "/v1/batches", { ...post, ...json({}) }, 400],
        ["post", "/v1/uploads/{id}/complete", { ...post, ...json({ part_ids: [] }) }, 400],
      ];
      for (const [method, path, request, status] of refusals) {
        expect((await ask(method, path, "nothing", request)).status).toBe(status);
      }
    });
  });
}
