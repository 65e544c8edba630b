// The endpoints a batch can name, and what is special about each. To add one, add a row.

export interface Endpoint {
  /** As clients write it in `endpoint` and in a line's `url`. */
  path: string;
  /** How error messages call it. */
  title: string;
  modelRequired: boolean;
  /** Members of the body without which no backend could answer. */
  required: readonly string[];
  /** Members that make up the prompt, in the order in which a backend reads them. */
  prompt: readonly string[];
  /** Each element of an array `input` counts toward the batch's embedding inputs. */
  countsInputs: boolean;
}

function endpoint(
  path: string,
  title: string,
  about: Partial<Endpoint> & Pick<Endpoint, "required" | "prompt">,
): Endpoint {
  return { path, title, modelRequired: true, countsInputs: false, ...about };
}

/** In alphabetical order, as refusals list them. @internal */
export const endpoints: readonly Endpoint[] = [
  endpoint("/v1/chat/completions", "Chat Completions", {
    required: ["messages"],
    prompt: ["messages"],
  }),
  endpoint("/v1/completions", "Completions", { required: ["prompt"], prompt: ["prompt"] }),
  endpoint("/v1/embeddings", "Embeddings", {
    required: ["input"],
    prompt: ["input"],
    countsInputs: true,
  }),
  endpoint("/v1/images/edits", "Image Edits", {
    required: ["images", "prompt"],
    prompt: ["prompt"],
  }),
  endpoint("/v1/images/generations", "Image Generations", {
    required: ["prompt"],
    prompt: ["prompt"],
  }),
  endpoint("/v1/moderations", "Moderations", {
    modelRequired: false,
    required: ["input"],
    prompt: ["input"],
  }),
  endpoint("/v1/responses", "Responses", {
    required: [],
    prompt: ["instructions", "input"],
  }),
  endpoint("/v1/videos", "Videos", { required: ["prompt"], prompt: ["prompt"] }),
];

export const endpointPaths: readonly string[] = endpoints.map(({ path }) => path);

/** What an upstream serves unless its configuration says otherwise. */
export const defaultUpstreamEndpoints: readonly string[] = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/moderations",
  "/v1/responses",
];

export function findEndpoint(path: string): Endpoint | undefined {
  return endpoints.find((candidate) => candidate.path === path);
}
