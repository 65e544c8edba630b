// The routes of webhook endpoints: what is taken and refused, and that secrets are shown once.
import { strict as assert } from "node:assert";
import type { Case, Need } from "../case.ts";
import { type Refusal, has, ok, refused } from "../checks.ts";
import { pageSchema } from "../schemas/list.ts";
import {
  type WireWebhookEndpointWithSecret,
  deletedEndpointSchema,
  endpointSchema,
  endpointWithSecretSchema,
  eventTypesSchema,
} from "../schemas/webhook-endpoint.ts";
import type { Target } from "../target.ts";

const ENDPOINTS = "/webhook_endpoints";
const MOST_OF_A_PROJECT = 20;
const offpeak: readonly Need[] = ["offpeak"];
/** Asked for what is rare, so that few events go there. */
const newEndpoint = {
  name: "conformance",
  url: "https://example.com/hook",
  event_types: ["batch.expired"],
};
const page = pageSchema(endpointSchema);

/** Makes an endpoint, looks at it, and deletes it. */
export async function withEndpoint(
  target: Target,
  members: object,
  look: (endpoint: WireWebhookEndpointWithSecret) => Promise<void>,
): Promise<void> {
  const answer = await target.post(ENDPOINTS, { ...newEndpoint, ...members });
  const endpoint = ok(answer, endpointWithSecretSchema);
  try {
    await look(endpoint);
  } finally {
    await target.send(`${ENDPOINTS}/${endpoint.id}`, { method: "DELETE" });
  }
}

/** A case that asks for an endpoint which is refused. */
function refusedEndpoint(
  row: string,
  name: string,
  members: object,
  refusal: Omit<Refusal, "status">,
  need: "offpeak" | "other-settings" = "offpeak",
): Case {
  return {
    row,
    name,
    needs: [need],
    async run(target) {
      const server = need === "offpeak" ? target : target.with(need);
      const answer = await server.post(ENDPOINTS, { ...newEndpoint, ...members });
      refused(answer, { status: 400, ...refusal });
    },
  };
}

/** A case that looks at an endpoint which was just made. */
function oneEndpoint(
  row: string,
  name: string,
  look: (endpoint: WireWebhookEndpointWithSecret) => void,
  needs: readonly Need[] = [],
): Case {
  return {
    row,
    name,
    needs,
    run: (target) => withEndpoint(target, {}, async (endpoint) => look(endpoint)),
  };
}

/** Every route of one endpoint says of this id that there is none. */
async function isUnknown(target: Target, id: string): Promise<void> {
  const path = `${ENDPOINTS}/${id}`;
  const message = `No webhook endpoint found with id '${id}'.`;
  for (const answer of [
    await target.send(path),
    await target.post(path, { name: "another" }),
    await target.post(`${path}/rotate_secret`, {}),
    await target.post(`${path}/test`, { event_type: "batch.failed" }),
    await target.send(path, { method: "DELETE" }),
  ]) {
    refused(answer, { status: 404, code: null, param: "id", message });
  }
}

const createCases: readonly Case[] = [
  {
    row: "webhooks.endpoints.create",
    name: "200, the endpoint as it was asked for, with its secret",
    async run(target) {
      await withEndpoint(target, {}, async (endpoint) => has(endpoint, newEndpoint));
    },
  },
  ...Object.keys(newEndpoint).map((member) =>
    refusedEndpoint(
      "webhooks.endpoints.create.member-missing",
      `${member} is required`,
      { [member]: undefined },
      { code: "missing_required_parameter", param: member },
    ),
  ),
  refusedEndpoint(
    "webhooks.endpoints.create.name",
    "an empty name is refused",
    { name: "" },
    { param: "name" },
  ),
  refusedEndpoint(
    "webhooks.endpoints.create.name",
    "a name of 257 characters is refused",
    { name: "n".repeat(257) },
    { code: "string_above_max_length", param: "name" },
  ),
  refusedEndpoint(
    "webhooks.endpoints.create.event-types",
    "other events than those about batches are refused",
    { event_types: ["batch.failed", "response.completed"] },
    {
      code: "invalid_value",
      param: "event_types[1]",
      message:
        "Invalid value: 'response.completed'. Supported values are: 'batch.completed', 'batch.failed', 'batch.expired', and 'batch.cancelled'.",
    },
  ),
  refusedEndpoint(
    "webhooks.endpoints.create.event-types-none",
    "an endpoint for no event is refused",
    { event_types: [] },
    { param: "event_types" },
  ),
  ...["example.com/hook", "ftp://example.com/hook", "https://me:secret@example.com/"].map((url) =>
    refusedEndpoint(
      "webhooks.endpoints.create.url",
      `${url} is refused`,
      { url },
      { code: "invalid_value", param: "url" },
    ),
  ),
  refusedEndpoint(
    "webhooks.endpoints.create.url",
    "2,049 characters are refused",
    { url: newEndpoint.url.padEnd(2_049, "x") },
    { code: "invalid_value", param: "url" },
  ),
  refusedEndpoint(
    "webhooks.endpoints.create.url-https",
    "http is refused",
    { url: "http://example.com/hook" },
    { code: "invalid_value", param: "url", message: /https/ },
    "other-settings",
  ),
  ...["localhost", "127.0.0.1", "10.1.2.3", "[::1]", "169.254.169.254"].map((host) =>
    refusedEndpoint(
      "webhooks.endpoints.create.url-private",
      `${host} is refused`,
      { url: `https://${host}/hook` },
      { code: "invalid_value", param: "url", message: /allow_private_addresses/ },
      "other-settings",
    ),
  ),
  {
    row: "webhooks.endpoints.create.many",
    name: "the twenty-first of a project is refused",
    needs: ["offpeak", "small-project"],
    async run(target) {
      const project = target.with("small-project");
      const made: string[] = [];
      try {
        while (made.length < MOST_OF_A_PROJECT) {
          const answer = await project.post(ENDPOINTS, newEndpoint);
          made.push(ok(answer, endpointWithSecretSchema).id);
        }
        const oneMore = await project.post(ENDPOINTS, newEndpoint);
        refused(oneMore, { status: 400, code: "too_many_webhooks" });
      } finally {
        for (const id of made) await project.send(`${ENDPOINTS}/${id}`, { method: "DELETE" });
      }
    },
  },
  {
    row: "beyond.idempotency",
    name: "a webhook endpoint is made anew, for its secret is shown once",
    needs: offpeak,
    async run(target) {
      const headers = { "idempotency-key": crypto.randomUUID() };
      const made = [
        ok(await target.post(ENDPOINTS, newEndpoint, headers), endpointWithSecretSchema),
        ok(await target.post(ENDPOINTS, newEndpoint, headers), endpointWithSecretSchema),
      ];
      for (const { id } of made) await target.send(`${ENDPOINTS}/${id}`, { method: "DELETE" });
      assert.equal(new Set(made.map(({ id }) => id)).size, 2);
    },
  },
];

const readCases: readonly Case[] = [
  {
    row: "webhooks.endpoints.secret-once",
    name: "neither retrieve nor list nor update shows the secret",
    async run(target) {
      await withEndpoint(target, {}, async ({ signing_secret: secret, ...endpoint }) => {
        const path = `${ENDPOINTS}/${endpoint.id}`;
        const answers = [
          await target.send(path),
          await target.send(`${ENDPOINTS}?limit=100`),
          await target.post(path, { name: "another" }),
        ];
        for (const { status, text } of answers) {
          assert.equal(status, 200);
          assert.ok(!text.includes(secret), text);
        }
      });
    },
  },
  {
    row: "webhooks.endpoints.retrieve",
    name: "the endpoint as it was made, but for the secret",
    async run(target) {
      await withEndpoint(target, {}, async ({ signing_secret: _secret, ...endpoint }) => {
        const answer = await target.send(`${ENDPOINTS}/${endpoint.id}`);
        assert.deepEqual(ok(answer, endpointSchema), endpoint);
      });
    },
  },
  {
    row: "webhooks.endpoints.list",
    name: "a page of them, walked with after",
    async run(target) {
      await withEndpoint(target, {}, async ({ id: one }) => {
        await withEndpoint(target, {}, async ({ id: other }) => {
          const walked: string[] = [];
          let after = "";
          for (let hasMore = true; hasMore;) {
            const answer = await target.send(`${ENDPOINTS}?limit=1${after}`);
            const { data, last_id: last, has_more: more } = ok(answer, page);
            assert.deepEqual([data.length, data[0]?.id], [1, last]);
            walked.push(data[0]!.id);
            after = `&after=${last}`;
            hasMore = more;
          }
          assert.equal(new Set(walked).size, walked.length);
          assert.ok([one, other].every((id) => walked.includes(id)));
        });
      });
    },
  },
  {
    row: "webhooks.endpoints.list.order",
    name: "the newest comes first",
    async run(target) {
      await withEndpoint(target, {}, async ({ id: older }) => {
        await withEndpoint(target, {}, async ({ id: newer }) => {
          const ids = ok(await target.send(ENDPOINTS), page).data.map(({ id }) => id);
          assert.deepEqual(ids.slice(0, 2), [newer, older]);
        });
      });
    },
  },
  {
    row: "webhooks.endpoints.list.limit",
    name: "0 and 101 are refused",
    needs: offpeak,
    async run(target) {
      const below = { status: 400, code: "integer_below_min_value", param: "limit" };
      refused(await target.send(`${ENDPOINTS}?limit=0`), below);
      const above = { status: 400, code: "integer_above_max_value", param: "limit" };
      refused(await target.send(`${ENDPOINTS}?limit=101`), above);
    },
  },
  {
    row: "webhooks.endpoints.list.after-unknown",
    name: "a cursor that nobody knows is a 404",
    needs: offpeak,
    async run(target) {
      const answer = await target.send(`${ENDPOINTS}?after=whe_nobody`);
      refused(answer, { status: 404, param: "after" });
    },
  },
  {
    row: "webhooks.endpoints.unknown",
    name: "an id that nobody knows is a 404 on every route",
    needs: offpeak,
    run: (target) => isUnknown(target, "whe_nobody"),
  },
  {
    row: "webhooks.endpoints.foreign",
    name: "so is the endpoint of another project, and it is not in the list",
    needs: ["offpeak", "other-project"],
    async run(target) {
      const other = target.with("other-project");
      await withEndpoint(target, {}, async ({ id }) => {
        await isUnknown(other, id);
        const { data } = ok(await other.send(`${ENDPOINTS}?limit=100`), page);
        assert.ok(data.every((endpoint) => endpoint.id !== id));
        refused(await other.send(`${ENDPOINTS}?after=${id}`), { status: 404, param: "after" });
        assert.equal((await target.send(`${ENDPOINTS}/${id}`)).status, 200);
      });
    },
  },
  {
    row: "webhooks.endpoints.delete",
    name: "id, object and deleted, and then it is gone",
    async run(target) {
      await withEndpoint(target, {}, async ({ id }) => {
        const answer = await target.send(`${ENDPOINTS}/${id}`, { method: "DELETE" });
        has(ok(answer, deletedEndpointSchema), { id });
        refused(await target.send(`${ENDPOINTS}/${id}`), { status: 404 });
      });
    },
  },
  {
    row: "webhooks.event-types",
    name: "a list of words, those about batches among them",
    async run(target) {
      const { data } = ok(await target.send("/webhook_event_types"), eventTypesSchema);
      for (const type of ["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]) {
        assert.ok(data.includes(type), type);
      }
    },
  },
];

const objectCases: readonly Case[] = [
  oneEndpoint("webhook-endpoint", "its members, in one order, the secret last", (endpoint) =>
    assert.deepEqual(Object.keys(endpoint), Object.keys(endpointWithSecretSchema.properties!)),
  ),
  oneEndpoint("webhook-endpoint.id", "begins with whe_", ({ id }) => assert.match(id, /^whe_\w+$/)),
  oneEndpoint("webhook-endpoint.object", 'always "webhook_endpoint"', (endpoint) =>
    has(endpoint, { object: "webhook_endpoint" }),
  ),
  oneEndpoint("webhook-endpoint.created_at", "seconds, of now", ({ created_at: at }) =>
    assert.ok(Math.abs(Date.now() / 1_000 - at) < 60, String(at)),
  ),
  oneEndpoint("webhook-endpoint.updated_at", "at first that of creation", (endpoint) =>
    assert.equal(endpoint.updated_at, endpoint.created_at),
  ),
  oneEndpoint("webhook-endpoint.name", "as sent", ({ name }) =>
    assert.equal(name, newEndpoint.name),
  ),
  oneEndpoint("webhook-endpoint.url", "as sent", ({ url }) => assert.equal(url, newEndpoint.url)),
  oneEndpoint("webhook-endpoint.event_types", "as sent", ({ event_types: types }) =>
    assert.deepEqual(types, newEndpoint.event_types),
  ),
  {
    row: "webhook-endpoint.event_types",
    name: "in one order, each once",
    needs: offpeak,
    async run(target) {
      const sent = ["batch.failed", "batch.completed", "batch.failed"];
      await withEndpoint(target, { event_types: sent }, async ({ event_types: types }) =>
        assert.deepEqual(types, ["batch.completed", "batch.failed"]),
      );
    },
  },
  oneEndpoint(
    "webhook-endpoint.signing_secret_hint",
    "the last four characters of the secret",
    ({ signing_secret_hint: hint, signing_secret: secret }) =>
      assert.equal(hint, `whsec_…${secret.slice(-4)}`),
    offpeak,
  ),
  oneEndpoint(
    "webhook-endpoint.signing_secret",
    "whsec_ and Base64",
    ({ signing_secret: secret }) => assert.match(secret, /^whsec_[A-Za-z0-9+/]+=*$/),
  ),
];

export const webhookEndpointsCases: readonly Case[] = [
  ...createCases,
  ...readCases,
  ...objectCases,
];
