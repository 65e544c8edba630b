// Webhook endpoints through the API: with the official SDK, which knows them, and what is refused.
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { json, send } from "../../support/raw-http.ts";
import {
  type Refusal,
  aboveMaximum,
  bad,
  belowMinimum,
  missing,
  post,
  wrongType,
} from "./refusal.ts";

const ENDPOINTS = "/v1/webhook_endpoints";
const DAY_MS = 86_400_000;
const newEndpoint: OpenAI.Webhooks.WebhookCreateParams = {
  name: "nightly",
  url: "https://example.com/hook",
  event_types: ["batch.completed", "batch.failed"],
};

function unknownEvent(param: string): Refusal {
  const types = "'batch.completed', 'batch.failed', 'batch.expired', and 'batch.cancelled'";
  return bad(`Invalid value: 'x'. Supported values are: ${types}.`, "invalid_value", param);
}

function missingEndpoint(id: string, param = "id"): Refusal {
  const message = `No webhook endpoint found with id '${id}'.`;
  return { status: 404, code: null, param, message };
}

export function webhooksSuite(startApi: StartApi): void {
  describe("webhook endpoints", () => {
    let api: ApiStack;
    let openai: OpenAI;

    beforeAll(async () => {
      api = await startApi();
      openai = new OpenAI({ baseURL: `${api.baseUrl}/v1`, apiKey: "any", maxRetries: 0 });
    });
    afterAll(() => api.close());
    beforeEach(async () => {
      for (const { id } of await api.store.webhooks.list()) await api.store.webhooks.delete(id);
    });

    test("are made, with a secret that is shown this once", async () => {
      const { signing_secret: secret, ...endpoint } = await openai.webhooks.create(newEndpoint);
      expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
      expect(endpoint).toEqual({
        id: expect.stringMatching(/^whe_[0-9a-f]{32}$/),
        object: "webhook_endpoint",
        created_at: expect.any(Number),
        updated_at: endpoint.created_at,
        name: "nightly",
        url: "https://example.com/hook",
        event_types: ["batch.completed", "batch.failed"],
        signing_secret_hint: `whsec_…${secret.slice(-4)}`,
      });
      expect(await openai.webhooks.retrieve(endpoint.id)).toEqual(endpoint);
      const stored = await api.store.webhooks.get(endpoint.id);
      expect(JSON.stringify(stored)).not.toContain(secret.slice(6, 40));
      expect(api.log.join("")).not.toContain(secret.slice(6, 40));
    });

    test("are changed in what is given, and their time of change with it", async () => {
      const { id, created_at: createdAt } = await openai.webhooks.create(newEndpoint);
      api.passTime(5_000);
      const renamed = await openai.webhooks.update(id, { name: "daily" });
      expect(renamed).toMatchObject({ name: "daily", url: newEndpoint.url, created_at: createdAt });
      expect(renamed.updated_at).toBeGreaterThan(createdAt);
      api.passTime(5_000);
      expect(await openai.webhooks.update(id, { name: "daily" })).toEqual(renamed);
      expect(await openai.webhooks.update(id)).toEqual(renamed);
      const moved = { url: "https://b.example/", event_types: ["batch.expired" as const] };
      expect(await openai.webhooks.update(id, moved)).toMatchObject({ ...moved, name: "daily" });
    });

    test("are listed newest first, in pages", async () => {
      const made: string[] = [];
      for (let index = 0; index < 5; index++) {
        made.push((await openai.webhooks.create({ ...newEndpoint, name: `n${index}` })).id);
      }
      const walked: string[] = [];
      for await (const { id } of openai.webhooks.list({ limit: 2 })) walked.push(id);
      expect(walked).toEqual(made.toReversed());
      const last = await openai.webhooks.list({ after: made[0]! });
      expect(last).toMatchObject({ data: [], has_more: false });
    });

    test("are deleted, and then are not there", async () => {
      const { id } = await openai.webhooks.create(newEndpoint);
      expect(await openai.webhooks.delete(id)).toEqual({
        id,
        object: "webhook_endpoint.deleted",
        deleted: true,
      });
      await expect(openai.webhooks.retrieve(id)).rejects.toMatchObject({ status: 404 });
    });

    test("get a new secret, and the old one may go on for a day", async () => {
      const { id, signing_secret: first } = await openai.webhooks.create(newEndpoint);
      const { signing_secret: second, ...endpoint } = await openai.webhooks.rotateSecret(id);
      expect(second).not.toBe(first);
      expect(endpoint.signing_secret_hint).toBe(`whsec_…${second.slice(-4)}`);
      expect((await api.store.webhooks.get(id))?.previousSecret).toBeNull();
      await openai.webhooks.rotateSecret(id, { keep_old_secret_active_for_24_hours: true });
      const kept = (await api.store.webhooks.get(id))?.previousSecret?.validUntil ?? 0;
      expect(Math.abs(kept - Date.now() - DAY_MS)).toBeLessThan(60_000);
    });

    test("can be tried, and tell what the receiver answered", async () => {
      const { id } = await openai.webhooks.create(newEndpoint);
      expect(await openai.webhooks.test(id, { event_type: "batch.expired" })).toEqual({
        object: "webhook_endpoint.test",
        webhook_endpoint_id: id,
        event_type: "batch.expired",
        success: true,
        status_code: 200,
      });
    });

    test("the events that there are", async () => {
      expect(await openai.webhooks.eventTypes.list()).toEqual({
        object: "list",
        data: ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"],
      });
    });

    test("a project has twenty of them at most", async () => {
      for (let index = 0; index < 20; index++) await openai.webhooks.create(newEndpoint);
      await expect(openai.webhooks.create(newEndpoint)).rejects.toMatchObject({
        status: 400,
        code: "too_many_webhooks",
      });
    });

    const change = (members: object) => ({ ...post, ...json({ ...newEndpoint, ...members }) });
    test.each([
      ["no name", ENDPOINTS, { ...post, ...json({}) }, missing("name")],
      ["no url", ENDPOINTS, change({ url: undefined }), missing("url")],
      ["a name of no characters", ENDPOINTS, change({ name: "" }), { status: 400, param: "name" }],
      ["no events", ENDPOINTS, change({ event_types: [] }), { status: 400, param: "event_types" }],
      [
        "an unknown event",
        ENDPOINTS,
        change({ event_types: ["x"] }),
        unknownEvent("event_types[0]"),
      ],
      [
        "a url of a number",
        ENDPOINTS,
        change({ url: 1 }),
        wrongType("url", "a string", "an integer"),
      ],
      ["an unknown one", `${ENDPOINTS}/whe_1`, {}, missingEndpoint("whe_1")],
      [
        "a change of an unknown one",
        `${ENDPOINTS}/whe_1`,
        { ...post, ...json({}) },
        missingEndpoint("whe_1"),
      ],
      [
        "a test of no event",
        `${ENDPOINTS}/whe_1/test`,
        { ...post, ...json({}) },
        missing("event_type"),
      ],
      ["a cursor nobody knows", `${ENDPOINTS}?after=whe_1`, {}, missingEndpoint("whe_1", "after")],
      ["a limit of nothing", `${ENDPOINTS}?limit=0`, {}, belowMinimum("limit", 1, 0)],
      ["a limit of too much", `${ENDPOINTS}?limit=101`, {}, aboveMaximum("limit", 100, 101)],
    ])("refuses %s", async (_name, path, request, { status, ...error }) => {
      expect(await send(api.baseUrl, path, request)).toMatchObject({ status, json: { error } });
    });
  });
}
