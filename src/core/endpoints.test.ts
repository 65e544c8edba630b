import { expect, test } from "vitest";
import {
  batchEndpoints,
  defaultUpstreamEndpoints,
  endpointPaths,
  endpoints,
  findEndpoint,
  isEndpointPath,
} from "./endpoints.ts";

test("the eight endpoints of the contract, in the order in which refusals list them", () => {
  expect(endpointPaths).toEqual([
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/images/edits",
    "/v1/images/generations",
    "/v1/moderations",
    "/v1/responses",
    "/v1/videos",
  ]);
});

test("is found by its exact path", () => {
  for (const endpoint of endpoints) expect(findEndpoint(endpoint.path)).toBe(endpoint);
  for (const path of ["/v1/embeddings/", "/V1/embeddings", "constructor", ""]) {
    expect(findEndpoint(path)).toBeUndefined();
  }
});

test("only embeddings count inputs, only moderations do without a model", () => {
  const paths = (keep: (endpoint: (typeof endpoints)[number]) => boolean) =>
    endpoints.filter(keep).map(({ path }) => path);
  expect(paths(({ countsInputs }) => countsInputs)).toEqual(["/v1/embeddings"]);
  expect(paths(({ modelRequired }) => !modelRequired)).toEqual(["/v1/moderations"]);
});

test("upstreams serve five of them unless told otherwise", () => {
  expect(defaultUpstreamEndpoints).toHaveLength(5);
  for (const path of defaultUpstreamEndpoints) expect(endpointPaths).toContain(path);
});

test("further endpoints are found too, and any path that could be one", () => {
  expect(findEndpoint("/v1/rerank")).toMatchObject({
    modelRequired: true,
    required: ["query", "documents"],
    prompt: ["query", "documents"],
  });
  expect(findEndpoint("/v1/score")).toMatchObject({ prompt: ["text_1", "text_2"] });
  expect(findEndpoint("/v1/audio/transcriptions")).toMatchObject({ required: ["file"] });
  expect(findEndpoint("/v1/classify")).toEqual({
    path: "/v1/classify",
    title: "/v1/classify",
    modelRequired: false,
    required: [],
    prompt: [],
    countsInputs: false,
    attachments: [],
    isJob: false,
  });
});

test.each([
  "/v1",
  "/v1/",
  "/v2/rerank",
  "v1/rerank",
  "/v1/Rerank",
  "/v1//rerank",
  "/v1/rerank/",
  "/v1/../admin",
  "/v1/.",
  "/v1/a?b=c",
  "/v1/a%2f",
  "/v1/a b",
  "/v1/a\n",
  `/v1/${"a".repeat(125)}`,
])("%j can't be an endpoint", (path) => {
  expect(isEndpointPath(path)).toBe(false);
  expect(findEndpoint(path)).toBeUndefined();
});

test("batches take the eight and whatever upstreams are configured for, each once, in order", () => {
  expect(batchEndpoints([])).toEqual(endpointPaths);
  expect(batchEndpoints(["/v1/rerank", "/v1/embeddings", "/v1/rerank", "/v1/a"])).toEqual(
    ["/v1/a", ...endpointPaths.slice(0, 6), "/v1/rerank", ...endpointPaths.slice(6)].sort(),
  );
});
