// The body of an inference request, as JSON or as a form, in one shape: its members and the files it came with.
import { type Json, isObject, typeName } from "./members.ts";
import { type FormPart, isMultipartForm, readMultipartForm } from "./multipart-form.ts";
import { type Refusal, isRefusal, refusal } from "./refusal.ts";

export interface RequestBody {
  form: "json" | "multipart";
  /** The members of the JSON object, or the fields of the form as texts; one sent repeatedly is a list. */
  members: Json;
  /** The files of a form in their order. JSON only refers to files, in its members. */
  files: FormPart[];
}

/** A form where the content type says so, else JSON; or what is wrong with it (400). */
export function readRequestBody(body: Buffer, contentType: string): RequestBody | Refusal {
  return isMultipartForm(contentType) ? readForm(body, contentType) : readJson(body);
}

function readJson(body: Buffer): RequestBody | Refusal {
  let json: unknown;
  try {
    json = JSON.parse(body.toString());
  } catch (error) {
    return refusal(400, `Expected a JSON body: ${(error as SyntaxError).message}`);
  }
  if (!isObject(json)) return refusal(400, `Expected a JSON object as body, got ${typeName(json)}`);
  return { form: "json", members: json, files: [] };
}

function readForm(body: Buffer, contentType: string): RequestBody | Refusal {
  const parts = readMultipartForm(contentType, body);
  if (isRefusal(parts)) return parts;
  const fields = Map.groupBy(
    parts.filter(({ fileName }) => fileName === undefined),
    ({ name }) => name,
  );
  const members = Object.fromEntries(
    Array.from(fields, ([name, sent]) => {
      const texts = sent.map(({ bytes }) => bytes.toString());
      return [name, texts.length === 1 ? texts[0] : texts];
    }),
  );
  return { form: "multipart", members, files: parts.filter((part) => part.fileName !== undefined) };
}
