// The form of POST /v1/files but its file: fields in any order, in every spelling SDKs use.
import { ApiError } from "../core/api-error.ts";
import { type UploadPurpose, uploadPurposes } from "../core/file.ts";
import { EXPIRES_AFTER_MAX_SECONDS, EXPIRES_AFTER_MIN_SECONDS } from "../core/limits.ts";
import { describeJson } from "../core/request-line.ts";
import {
  aboveMaximum,
  belowMinimum,
  missingParameter,
  unsupportedValue,
  wrongType,
} from "./wording.ts";

const ANCHOR = "created_at";
const PART_OF_EXPIRES_AFTER = /^expires_after(?:\[(\w+)\]|\.(\w+))$/;

export class UploadForm {
  #purpose: UploadPurpose | undefined;
  #anchor: unknown;
  #seconds: unknown;
  #expires = false;
  #anchorOptional = false;

  /** Undefined until its field has come. */
  get purpose(): UploadPurpose | undefined {
    return this.#purpose;
  }

  /** Takes a field; one that is not known is ignored. Throws ApiError for an impossible purpose. */
  take(name: string, value: unknown): void {
    if (name === "purpose") {
      this.#purpose = asPurpose(value);
    } else if (name === "expires_after") {
      this.#takeWhole(value);
    } else {
      this.#takePart(name, value);
    }
  }

  /** After the last field: what the form says. Throws ApiError. */
  finish(): { purpose: UploadPurpose; expiresAfterSeconds: number | undefined } {
    if (this.#purpose === undefined) throw missingParameter("purpose");
    return {
      purpose: this.#purpose,
      expiresAfterSeconds: this.#expires ? this.#expiresAfterSeconds() : undefined,
    };
  }

  /** One part with a JSON object, as the Ruby SDK sent it before 0.79. */
  #takeWhole(value: unknown): void {
    const parsed = typeof value === "string" ? parseJson(value) : value;
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      throw wrongType("expires_after", "an object", describeJson(parsed));
    }
    const { anchor, seconds } = parsed as Record<string, unknown>;
    this.#expires = true;
    this.#anchor = anchor;
    this.#seconds = seconds;
  }

  /** `expires_after[seconds]`, as most SDKs send it, or `expires_after.seconds`, as the Go SDK did. */
  #takePart(name: string, value: unknown): void {
    const [, bracketed, dotted] = PART_OF_EXPIRES_AFTER.exec(name) ?? [];
    const member = bracketed ?? dotted;
    if (member === undefined) return;
    this.#expires = true;
    // With dots the Go SDK left the anchor out before 3.30.
    this.#anchorOptional ||= dotted !== undefined;
    if (member === "anchor") this.#anchor = value;
    if (member === "seconds") this.#seconds = wholeNumberIn(value);
  }

  #expiresAfterSeconds(): number {
    const anchor = this.#anchor ?? (this.#anchorOptional ? ANCHOR : undefined);
    if (anchor === undefined) throw missingParameter("expires_after.anchor");
    if (typeof anchor !== "string") {
      throw wrongType("expires_after.anchor", "a string", describeJson(anchor));
    }
    if (anchor !== ANCHOR) throw unsupportedValue("expires_after.anchor", anchor, [ANCHOR]);
    const name = "expires_after.seconds";
    const seconds = this.#seconds;
    if (seconds === undefined) throw missingParameter(name);
    if (typeof seconds !== "number" || !Number.isInteger(seconds)) {
      throw wrongType(name, "an integer", describeJson(seconds));
    }
    if (seconds < EXPIRES_AFTER_MIN_SECONDS) {
      throw belowMinimum(name, EXPIRES_AFTER_MIN_SECONDS, seconds);
    }
    if (seconds > EXPIRES_AFTER_MAX_SECONDS) {
      throw aboveMaximum(name, EXPIRES_AFTER_MAX_SECONDS, seconds);
    }
    return seconds;
  }
}

/** Throws ApiError for a purpose with which nothing can be uploaded. */
export function asPurpose(value: unknown): UploadPurpose {
  // A part of type JSON can be anything.
  if (typeof value !== "string") throw wrongType("purpose", "a string", describeJson(value));
  const purpose = uploadPurposes.find((candidate) => candidate === value);
  return purpose ?? refusePurpose(value, uploadPurposes);
}

/** Refuses a purpose in the words of OpenAI's file routes. */
export function refusePurpose(purpose: string, known: readonly string[]): never {
  const list = known.map((name) => `'${name}'`).join(", ");
  const shown = purpose.slice(0, 100).toWellFormed();
  throw new ApiError(400, `'${shown}' is not one of [${list}] - 'purpose'`, { param: "purpose" });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Fields of a form are text: digits become the number they spell, anything else stays. */
function wholeNumberIn(value: unknown): unknown {
  return typeof value === "string" && /^-?\d{1,15}$/.test(value) ? Number(value) : value;
}
