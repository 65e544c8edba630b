import { expect, test } from "vitest";
import { defaultUpstreamEndpoints, endpointPaths, endpoints, findEndpoint } from "./endpoints.ts";

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
  for (const path of ["/v1/chat", "/v1/embeddings/", "/V1/embeddings", "constructor", ""]) {
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
