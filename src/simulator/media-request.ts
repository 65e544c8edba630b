// Reads requests that bring or want images, video or sound: /v1/images/generations and /edits, /v1/videos,
// /v1/audio/transcriptions. All but the first may come as JSON or as a form.
import { type Json, isWhole, wrong } from "./members.ts";
import { type ReceivedFile, fileInPart, fileInReference } from "./received-file.ts";
import { type Refusal, isRefusal } from "./refusal.ts";
import type { RequestBody } from "./request-body.ts";

/** What arrived, which the answer repeats. */
export interface Received {
  form: RequestBody["form"];
  /** Everything but the files. */
  fields: Json;
  files: ReceivedFile[];
}

export interface ImageRequest {
  kind: "image";
  model: string | undefined;
  prompt: string;
  /** Images to make. */
  count: number;
  received: Received;
}

export interface VideoRequest {
  kind: "video";
  model: string | undefined;
  prompt: string;
  seconds: string;
  size: string;
  received: Received;
}

export interface TranscriptionRequest {
  kind: "transcription";
  model: string | undefined;
  /** The request's own prompt; without one, what tells its file from others: the SHA-256 or the URL. */
  prompt: string;
  file: ReceivedFile;
  received: Received;
}

const MAX_IMAGES = 10;
const MAX_INPUT_IMAGES = 16;

export function readImageGeneration(members: Json, body: RequestBody): ImageRequest | Refusal {
  return imageRequest(members, received(body, [], []));
}

export function readImageEdit(members: Json, body: RequestBody): ImageRequest | Refusal {
  const files =
    body.form === "json" ? imagesInJson(members) : filesInForm(body, ["image", "image[]", "mask"]);
  if (isRefusal(files)) return files;
  const masks = files.filter(({ member }) => member === "mask").length;
  const images = files.length - masks;
  if (images < 1 || images > MAX_INPUT_IMAGES) {
    const param = body.form === "json" ? "images" : "image";
    return wrong(param, `1 to ${MAX_INPUT_IMAGES} images`, `${images} of them`);
  }
  if (masks > 1) return wrong("mask", "at most one mask", `${masks} of them`);
  return imageRequest(members, received(body, files, ["images", "mask"]));
}

export function readVideo(members: Json, body: RequestBody): VideoRequest | Refusal {
  const prompt = members["prompt"];
  const seconds = members["seconds"] ?? "4";
  const size = members["size"] ?? "720x1280";
  if (!isText(prompt)) return wrong("prompt", "a text that is not empty", prompt);
  if (!isText(seconds)) return wrong("seconds", 'a text such as "4"', seconds);
  if (!isText(size)) return wrong("size", 'a text such as "720x1280"', size);
  const files = videoFiles(members, body);
  if (isRefusal(files)) return files;
  const model = members["model"] as string | undefined;
  const arrived = received(body, files, ["input_reference"]);
  return { kind: "video", model, prompt, seconds, size, received: arrived };
}

export function readTranscription(
  members: Json,
  body: RequestBody,
): TranscriptionRequest | Refusal {
  const unfit = unfitFor(members, "json");
  if (unfit !== undefined) return unfit;
  const files = body.form === "json" ? [] : filesInForm(body, ["file"]);
  if (isRefusal(files)) return files;
  if (body.form === "multipart" && files.length !== 1) {
    return wrong("file", "one file", `${files.length} of them`);
  }
  const file = files[0] ?? fileInReference("file_url", members, "file_url");
  if (isRefusal(file)) return file;
  const prompt = members["prompt"] ?? ("url" in file ? file.url : file.sha256);
  if (!isText(prompt)) return wrong("prompt", "a text that is not empty", prompt);
  const model = members["model"] as string | undefined;
  const arrived = received(body, [file], ["file_url"]);
  return { kind: "transcription", model, prompt, file, received: arrived };
}

function imageRequest(members: Json, arrived: Received): ImageRequest | Refusal {
  const prompt = members["prompt"];
  const n = members["n"] ?? 1;
  const unfit = unfitFor(members, "b64_json");
  if (unfit !== undefined) return unfit;
  if (!isText(prompt)) return wrong("prompt", "a text that is not empty", prompt);
  const count = arrived.form === "multipart" ? Number(n) : n;
  if (!isWhole(count, 1, MAX_IMAGES)) {
    return wrong("n", `a whole number from 1 to ${MAX_IMAGES}`, n);
  }
  const model = members["model"] as string | undefined;
  return { kind: "image", model, prompt, count, received: arrived };
}

/** A refusal of the ways of answering that this simulator does not have. */
function unfitFor(members: Json, onlyFormat: "json" | "b64_json"): Refusal | undefined {
  const { stream, response_format: format } = members;
  if (stream === true || stream === "true") {
    return wrong("stream", "false, for this endpoint is not streamed here", stream);
  }
  if (format != null && format !== onlyFormat) {
    return wrong("response_format", `"${onlyFormat}", the only one there is here`, format);
  }
  return undefined;
}

function imagesInJson({ images, mask }: Json): ReceivedFile[] | Refusal {
  if (!Array.isArray(images)) return wrong("images", "a list of images", images);
  const files: ReceivedFile[] = [];
  for (const [index, image] of images.entries()) {
    const file = fileInReference("images", image, "image_url", `images[${index}]`);
    if (isRefusal(file)) return file;
    files.push(file);
  }
  if (mask == null) return files;
  const masking = fileInReference("mask", mask, "image_url");
  return isRefusal(masking) ? masking : [...files, masking];
}

function videoFiles(members: Json, body: RequestBody): ReceivedFile[] | Refusal {
  if (body.form === "multipart") return filesInForm(body, ["input_reference"]);
  const reference = members["input_reference"];
  if (reference == null) return [];
  const file = fileInReference("input_reference", reference, "image_url");
  return isRefusal(file) ? file : [file];
}

function filesInForm({ files }: RequestBody, names: readonly string[]): ReceivedFile[] | Refusal {
  const other = files.find(({ name }) => !names.includes(name));
  if (other === undefined) return files.map(fileInPart);
  return wrong(other.name, `only files named ${names.join(", ")}`, other.name);
}

function received(
  { form, members }: RequestBody,
  files: ReceivedFile[],
  fileMembers: readonly string[],
): Received {
  // The fields of a form are never its files.
  if (form === "multipart") return { form, fields: members, files };
  const fields = Object.entries(members).filter(([name]) => !fileMembers.includes(name));
  return { form, fields: Object.fromEntries(fields), files };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
