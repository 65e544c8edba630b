// The rules of a whole batch input file: unique custom_ids, one model that somebody serves, and
// the limits. Fed line by line; holds a few bytes a line, never the lines.

import type { ValidationError } from "./batch.ts";
import { CustomIdIndex } from "./custom-id-index.ts";
import type { Endpoint } from "./endpoints.ts";
import type { Limits } from "./limits.ts";
import { excerpt, type RequestLine, readRequestLine } from "./request-line.ts";

export interface InputRules {
  endpoint: Endpoint;
  limits: Pick<
    Limits,
    "linesPerBatch" | "lineSizeBytes" | "embeddingInputsPerBatch" | "validationErrors"
  >;
  /** OpenAI has one model per file; a setting allows several. */
  allowSeveralModels: boolean;
  /** Whether an upstream serves the model that a line names ("" when it names none). */
  serves: (model: string) => boolean;
  /** The models to name in a refusal. */
  servedModels: readonly string[];
}

/** A line that keeps all rules, as far as is known without reading earlier lines again. */
export interface AcceptedLine {
  line: RequestLine;
  /** Position among the accepted lines. */
  index: number;
  /** Position of its model in `InputValidator.models`. */
  modelIndex: number;
  /** Earlier accepted lines whose custom_id may be the same: to be compared, see `repeatCustomId`. */
  suspects: readonly number[];
}

const SPACE = 0x20;
const TAB = 0x09;
const CARRIAGE_RETURN = 0x0d;
const MODELS_IN_MESSAGE = 20;

function isBlank(bytes: Uint8Array): boolean {
  // Only space, tab and carriage return make a line blank; other control bytes are a broken line.
  for (const byte of bytes) {
    if (byte !== SPACE && byte !== TAB && byte !== CARRIAGE_RETURN) return false;
  }
  return true;
}

export class InputValidator {
  /** What was found wrong, in order of the lines. Empty: the file may run. */
  readonly errors: ValidationError[] = [];
  /** The models the accepted lines name, in order of appearance. */
  readonly models: string[] = [];
  readonly #rules: InputRules;
  #customIds = new CustomIdIndex();
  #lineCount = 0;
  #inputCount = 0;
  #stopped = false;

  constructor(rules: InputRules) {
    this.#rules = rules;
  }

  /** True once further lines cannot change the verdict or the list of errors: stop reading. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Checks the next line. Undefined when it is blank, or refused (see `errors`).
   * @param bytes the line without its newline; a carriage return at its end is tolerated
   * @param lineNumber 1-based, blank lines counted
   */
  check(bytes: Uint8Array, lineNumber: number): AcceptedLine | undefined {
    if (isBlank(bytes)) return undefined;
    const { limits, endpoint } = this.#rules;
    this.#lineCount++;
    if (this.#lineCount > limits.linesPerBatch) {
      const allowed = limits.linesPerBatch.toLocaleString("en-US");
      const message = `The number of requests in the batch exceeds the maximum allowed value of ${allowed}.`;
      this.#stop("too_many_tasks", message, null);
      return undefined;
    }
    const read = readRequestLine(bytes, lineNumber, endpoint);
    if (!read.ok) {
      this.#report(read.error);
      return undefined;
    }
    const { line } = read;
    this.#inputCount += line.inputCount;
    if (this.#inputCount > limits.embeddingInputsPerBatch) {
      const allowed = limits.embeddingInputsPerBatch.toLocaleString("en-US");
      const message = `The number of embedding inputs over all lines of the batch exceeds the maximum allowed value of ${allowed}.`;
      this.#stop("too_many_inputs", message, "body.input");
      return undefined;
    }
    const modelIndex = this.#modelIndex(line.model, lineNumber);
    if (modelIndex === undefined) return undefined;
    const index = this.#customIds.count;
    return { line, index, modelIndex, suspects: this.#customIds.add(line.customId) };
  }

  /** A line longer than `limits.lineSizeBytes`, of which the caller keeps no bytes. */
  refuseLongLine(lineNumber: number): void {
    this.#lineCount++;
    const message = `This line is longer than the ${this.#rules.limits.lineSizeBytes} bytes a request may have.`;
    this.#report({ code: "request_too_large", message, param: null, line: lineNumber });
  }

  /** The caller compared: the line's custom_id is that of an earlier line. */
  repeatCustomId(customId: string, lineNumber: number): void {
    const message = `The custom_id '${excerpt(customId)}' for this request is a duplicate of another request. The custom_id parameter must be unique for each request in a batch.`;
    this.#report({ code: "duplicate_custom_id", message, param: "custom_id", line: lineNumber });
  }

  /** After the last line: whole-file rules. Frees what only further lines would need. */
  end(): void {
    this.#customIds = new CustomIdIndex();
    if (this.#lineCount > 0) return;
    const message =
      "The input file is empty. Please ensure that the batch contains at least one request.";
    this.#stop("empty_file", message, null);
  }

  #modelIndex(model: string, lineNumber: number): number | undefined {
    const known = this.models.indexOf(model);
    if (known >= 0) return known;
    if (this.models.length > 0 && !this.#rules.allowSeveralModels) {
      const message = `The model '${excerpt(model)}' for this request does not match the rest of the batch. Each batch must contain requests for a single model.`;
      this.#report({ code: "mismatched_model", message, param: "body.model", line: lineNumber });
      return undefined;
    }
    if (!this.#rules.serves(model)) {
      this.#report({
        code: "model_not_found",
        message: `The provided model '${excerpt(model)}' is not supported by the Batch API. ${this.#served()}`,
        param: "body.model",
        line: lineNumber,
      });
      return undefined;
    }
    return this.models.push(model) - 1;
  }

  #served(): string {
    const { servedModels, endpoint } = this.#rules;
    const shown = servedModels.slice(0, MODELS_IN_MESSAGE).map((name) => `'${name}'`);
    const more = servedModels.length - shown.length;
    const list = `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
    return `No upstream serves it for ${endpoint.path}; served: ${list || "none"}.`;
  }

  #report(error: ValidationError): void {
    this.errors.push(error);
    if (this.errors.length < this.#rules.limits.validationErrors) return;
    const message = `Validation stopped after ${this.errors.length} errors; later lines were not checked.`;
    this.#stop("too_many_errors", message, null);
  }

  #stop(code: string, message: string, param: string | null): void {
    this.errors.push({ code, message, param, line: null });
    this.#stopped = true;
  }
}
