// The endpoints a batch can name, and what is special about each. To add one, add a row; a path without
// a row can be admitted by an upstream's configuration all the same.

import { type AttachmentRule, imageReference } from "./attachments.ts";

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
  /** Members of the body that refer to files. */
  attachments: readonly AttachmentRule[];
  /** The answer is a job: the line's result is what `GET {path}/{id}` says of it when it has ended. */
  isJob: boolean;
}

function endpoint(
  path: string,
  title: string,
  about: Partial<Endpoint> & Pick<Endpoint, "required" | "prompt">,
): Endpoint {
  const plain = { modelRequired: true, countsInputs: false, attachments: [], isJob: false };
  return { path, title, ...plain, ...about };
}

const MAX_IMAGES = 16;

/** What every server takes, in alphabetical order, as refusals list them. @internal */
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
    attachments: [
      { ...imageReference("images", "image"), most: MAX_IMAGES },
      imageReference("mask"),
    ],
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
  endpoint("/v1/videos", "Videos", {
    required: ["prompt"],
    prompt: ["prompt"],
    attachments: [imageReference("input_reference")],
    isJob: true,
  }),
];

/** Endpoints that only an upstream's configuration admits, but of which more is known than the path. */
const furtherEndpoints: readonly Endpoint[] = [
  endpoint("/v1/audio/transcriptions", "Transcriptions", {
    required: ["file"],
    prompt: ["prompt"],
    attachments: [
      { member: "file", urlMember: "url", most: null, part: "file", jsonMember: "file_url" },
    ],
  }),
  endpoint("/v1/rerank", "Rerank", {
    required: ["query", "documents"],
    prompt: ["query", "documents"],
  }),
  endpoint("/v1/score", "Score", {
    required: ["text_1", "text_2"],
    prompt: ["text_1", "text_2"],
  }),
];

/** @internal */
export const endpointPaths: readonly string[] = endpoints.map(({ path }) => path);

/** What an upstream serves unless its configuration says otherwise. */
export const defaultUpstreamEndpoints: readonly string[] = [
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/moderations",
  "/v1/responses",
];

const MAX_PATH_CHARACTERS = 128;
const PATH = /^\/v1(?:\/[a-z0-9_-][a-z0-9_.-]*)+$/;

/** Whether an upstream can be configured to serve the path: `/v1/…` of lower-case letters, digits and _ . - */
export function isEndpointPath(path: string): boolean {
  return path.length <= MAX_PATH_CHARACTERS && PATH.test(path);
}

/** What `POST /v1/batches` takes: the endpoints of every server, and those that upstreams are configured for. */
export function batchEndpoints(configured: readonly string[]): string[] {
  return [...new Set([...endpointPaths, ...configured])].sort();
}

/** Undefined for what can't be an endpoint; one that nothing is known of needs nothing. */
export function findEndpoint(path: string): Endpoint | undefined {
  const known = [...endpoints, ...furtherEndpoints].find((candidate) => candidate.path === path);
  if (known || !isEndpointPath(path)) return known;
  return endpoint(path, path, { modelRequired: false, required: [], prompt: [] });
}
