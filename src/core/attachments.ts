// Members of a request's body that refer to files: which endpoints have some, what they must look like,
// and how they are found again when the line is sent.

/** One member that refers to files, and how backends want to be told of them. */
export interface AttachmentRule {
  member: string;
  /** The member of a reference that holds a URL; its other form is `file_id`. */
  urlMember: "image_url" | "url";
  /** Most references of a member that is a list of them; null: it is a single one. */
  most: number | null;
  /** The part of a form that takes the file; of several files each is in a part `name[]`. */
  part: string;
  /** The member of a JSON body that takes the URL itself; null: the reference stays where it is. */
  jsonMember: string | null;
}

export type Reference = { fileId: string } | { url: string };

/** One file that a body refers to. */
export interface Attachment {
  rule: AttachmentRule;
  /** Where the reference stands, such as `body.images[0]`. */
  param: string;
  reference: Reference;
}

/** What is wrong with a reference: another type than `expected`, or what the message says. */
export type AttachmentProblem =
  | { code: "invalid_type"; param: string; expected: string; value: unknown }
  | { code: "invalid_value" | "missing_required_parameter"; param: string; message: string };

const USABLE_URL = /^(?:https?:\/\/[^/]|data:[^,]{0,200};base64,[A-Za-z0-9+/]+={0,2}$)/i;

/** A reference to one image, by `file_id` or `image_url`. */
export function imageReference(member: string, part = member): AttachmentRule {
  return { member, urlMember: "image_url", most: null, part, jsonMember: null };
}

/** The first thing wrong with the references of a body; undefined when they can be used. */
export function findAttachmentProblem(
  body: Readonly<Record<string, unknown>>,
  rules: readonly AttachmentRule[],
): AttachmentProblem | undefined {
  for (const rule of rules) {
    const value = body[rule.member] ?? null;
    if (value === null) continue;
    const param = `body.${rule.member}`;
    const problem =
      rule.most === null
        ? problemOf(value, param, rule)
        : problemOfList(value, param, rule.most, rule);
    if (problem) return problem;
  }
  return undefined;
}

function problemOfList(
  value: unknown,
  param: string,
  most: number,
  rule: AttachmentRule,
): AttachmentProblem | undefined {
  if (!Array.isArray(value)) {
    return { code: "invalid_type", param, expected: "an array of objects", value };
  }
  if (value.length === 0 || value.length > most) {
    const message = `Invalid '${param}': expected an array with 1 to ${most} elements, but got one with ${value.length} instead.`;
    return { code: "invalid_value", param, message };
  }
  for (const [at, element] of value.entries()) {
    const problem = problemOf(element, `${param}[${at}]`, rule);
    if (problem) return problem;
  }
  return undefined;
}

function problemOf(
  value: unknown,
  param: string,
  { urlMember }: AttachmentRule,
): AttachmentProblem | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { code: "invalid_type", param, expected: "an object", value };
  }
  const { file_id: fileId = null, [urlMember]: url = null } = value as Record<string, unknown>;
  if (fileId === null && url === null) {
    const message = `Missing required parameter: '${param}.file_id' or '${param}.${urlMember}'.`;
    return { code: "missing_required_parameter", param, message };
  }
  if (fileId !== null && url !== null) {
    const message = `Invalid '${param}': expected either 'file_id' or '${urlMember}', but got both.`;
    return { code: "invalid_value", param, message };
  }
  const [name, text] = fileId === null ? [urlMember, url] : ["file_id", fileId];
  const place = `${param}.${name}`;
  if (typeof text !== "string") {
    return { code: "invalid_type", param: place, expected: "a string", value: text };
  }
  if (fileId !== null || USABLE_URL.test(text)) return undefined;
  const message = `Invalid '${place}': expected an http or https URL, or a data URL in base64.`;
  return { code: "invalid_value", param: place, message };
}

/** The references of a body in which `findAttachmentProblem` found nothing wrong, in the order of the rules. */
export function attachmentsOf(
  body: Readonly<Record<string, unknown>>,
  rules: readonly AttachmentRule[],
): Attachment[] {
  return rules.flatMap((rule) => {
    const value = body[rule.member] ?? null;
    if (value === null) return [];
    const references = (rule.most === null ? [value] : value) as Record<string, string | null>[];
    return references.map((reference, at): Attachment => {
      const fileId = reference["file_id"] ?? null;
      return {
        rule,
        param: rule.most === null ? `body.${rule.member}` : `body.${rule.member}[${at}]`,
        reference: fileId === null ? { url: reference[rule.urlMember] as string } : { fileId },
      };
    });
  });
}
