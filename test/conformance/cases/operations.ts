// Routes for those who run the server: health, metrics, the OpenAPI document, the admin API.
import { strict as assert } from "node:assert";
import type { Case } from "../case.ts";
import { checkJsonType, ok, refused, shown } from "../checks.ts";
import { fileForm } from "../samples.ts";
import { fileSchema } from "../schemas/file.ts";
import type { Answer, Target } from "../target.ts";

function admin(target: Target, path: string, method = "GET", body?: object): Promise<Answer> {
  return target.with("admin-key").send(target.beside(`/admin/v1${path}`), {
    method,
    ...(body && {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
}

async function administered<T>(answer: Promise<Answer>): Promise<T> {
  const given = await answer;
  assert.equal(given.status, 200, shown(given));
  return given.json as T;
}

interface Key {
  id: string;
  key: string;
  project: string;
  revoked_at: number | null;
}

interface Listed<T> {
  object: string;
  data: T[];
}

export const operationsCases: readonly Case[] = [
  {
    row: "beyond.healthz",
    name: "GET /healthz is 200 while the process lives, without a key",
    needs: ["offpeak"],
    async run(target) {
      const answer = await target.send(target.beside("/healthz"), { apiKey: null });
      assert.deepEqual([answer.status, answer.json], [200, { status: "ok" }]);
    },
  },
  {
    row: "beyond.readyz",
    name: "GET /readyz is 200 with all upstreams when batches can run",
    needs: ["offpeak"],
    async run(target) {
      const answer = await target.send(target.beside("/readyz"), { apiKey: null });
      assert.equal(answer.status, 200);
      const { ready, checks } = answer.json as { ready: boolean; checks: { upstream: string }[] };
      assert.equal(ready, true);
      assert.ok(checks.length > 0);
    },
  },
  {
    row: "beyond.readyz",
    name: "… and 503 with the reason when no upstream was ever reached",
    needs: ["unreachable-upstream"],
    async run(target) {
      const server = target.with("unreachable-upstream");
      const answer = await server.send(server.beside("/readyz"));
      assert.equal(answer.status, 503);
      assert.match(answer.text, /"ready":false/);
    },
  },
  {
    row: "beyond.metrics",
    name: "GET /metrics is Prometheus text",
    needs: ["offpeak"],
    async run(target) {
      const answer = await target.send(target.beside("/metrics"), { apiKey: null });
      assert.equal(answer.status, 200);
      assert.match(answer.text, /^# TYPE offpeak_\w+ (counter|gauge|histogram)$/m);
    },
  },
  {
    row: "beyond.openapi",
    name: "GET /openapi.json describes every route",
    needs: ["offpeak"],
    async run(target) {
      const answer = await target.send(target.beside("/openapi.json"), { apiKey: null });
      assert.equal(answer.status, 200);
      checkJsonType(answer);
      const { openapi, paths } = answer.json as { openapi: string; paths: Record<string, object> };
      assert.match(openapi, /^3\./);
      const routes = Object.entries(paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method} ${path.replaceAll(/\{\w+\}/g, "{}")}`),
      );
      for (const route of [
        "post /v1/batches",
        "get /v1/batches",
        "get /v1/batches/{}",
        "post /v1/batches/{}/cancel",
        "post /v1/files",
        "get /v1/files",
        "get /v1/files/{}",
        "delete /v1/files/{}",
        "get /v1/files/{}/content",
        "post /v1/uploads",
        "post /v1/uploads/{}/parts",
        "post /v1/uploads/{}/complete",
        "post /v1/uploads/{}/cancel",
        "get /v1/models",
        "post /v1/webhook_endpoints",
        "get /v1/webhook_endpoints",
        "get /v1/webhook_endpoints/{}",
        "post /v1/webhook_endpoints/{}",
        "delete /v1/webhook_endpoints/{}",
        "post /v1/webhook_endpoints/{}/rotate_secret",
        "post /v1/webhook_endpoints/{}/test",
        "get /v1/webhook_event_types",
      ]) {
        assert.ok(routes.includes(route), `${route} is not described`);
      }
    },
  },
  {
    row: "beyond.admin.closed",
    name: "without an admin key the admin API is closed",
    needs: ["open-server"],
    async run(target) {
      const open = target.with("open-server");
      const answer = await open.send(open.beside("/admin/v1/keys"));
      refused(answer, { status: 403, code: "admin_api_closed" });
    },
  },
  {
    row: "beyond.admin.key-kinds",
    name: "the admin key opens no /v1 route, a project's key no admin route: 403",
    needs: ["admin-key"],
    async run(target) {
      const withAdminKey = target.with("admin-key");
      const own = await withAdminKey.send("/batches");
      refused(own, { status: 403, code: "project_key_required" });
      const foreign = await target.send(target.beside("/admin/v1/keys"));
      refused(foreign, { status: 403, code: "admin_key_required" });
      const none = await target.send(target.beside("/admin/v1/keys"), { apiKey: null });
      refused(none, { status: 401 });
    },
  },
  {
    row: "beyond.admin.keys",
    name: "keys are made, listed without their secret, and revoked",
    needs: ["admin-key"],
    async run(target) {
      const project = "conformance-keys";
      const { id, key } = await administered<Key>(admin(target, "/keys", "POST", { project }));
      assert.equal((await target.send("/models", { apiKey: key })).status, 200);
      const before = await admin(target, "/keys");
      assert.ok(!before.text.includes(key));
      const listed = (before.json as Listed<Key>).data.find((one) => one.id === id);
      assert.deepEqual([listed?.project, listed?.revoked_at], [project, null]);
      await administered(admin(target, `/keys/${id}`, "DELETE"));
      refused(await target.send("/models", { apiKey: key }), {
        status: 401,
        code: "invalid_api_key",
      });
      refused(await admin(target, `/keys/${id}`, "DELETE"), { status: 404 });
    },
  },
  {
    row: "beyond.admin.keys",
    name: "all keys of a project open the same files",
    needs: ["admin-key"],
    async run(target) {
      const project = "conformance-sharing";
      const [one, two] = await Promise.all([
        administered<Key>(admin(target, "/keys", "POST", { project })),
        administered<Key>(admin(target, "/keys", "POST", { project })),
      ]);
      const form = { method: "POST", body: fileForm("{}\n"), apiKey: one.key };
      const file = ok(await target.send("/files", form), fileSchema);
      const seen = await target.send(`/files/${file.id}`, { apiKey: two.key });
      assert.deepEqual(ok(seen, fileSchema), file);
    },
  },
  {
    row: "beyond.admin.webhooks",
    name: "webhooks are made with a secret that is shown once, listed, tested and deleted",
    needs: ["admin-key", "webhook-receiver"],
    async run(target) {
      const { url } = target.with("webhook-receiver");
      const about = { project: "conformance-webhooks", url, events: ["batch.failed"] };
      const made = await administered<{ id: string; secret: string; events: string[] }>(
        admin(target, "/webhooks", "POST", about),
      );
      assert.match(made.secret, /^whsec_/);
      assert.deepEqual(made.events, about.events);
      const one = await admin(target, `/webhooks/${made.id}`);
      assert.ok(one.status === 200 && !one.text.includes(made.secret), shown(one));
      const path = `/webhooks/${made.id}/test`;
      const { delivery_id: delivery } = await administered<{ delivery_id: string }>(
        admin(target, path, "POST"),
      );
      const deliveries = await administered<Listed<{ id: string }>>(
        admin(target, `/webhooks/${made.id}/deliveries`),
      );
      assert.ok(deliveries.data.some(({ id }) => id === delivery));
      await administered(admin(target, `/webhooks/${made.id}`, "DELETE"));
      refused(await admin(target, `/webhooks/${made.id}`), { status: 404 });
    },
  },
];
