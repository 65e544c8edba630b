// From what the JSON Schema validator found to the refusal a client gets, by the keyword of the
// schema that was broken; so that a schema is all a route has to write.
import type { FastifySchemaValidationError } from "fastify/types/schema.js";
import { ApiError } from "../core/api-error.ts";
import { describeJson } from "../core/request-line.ts";
import {
  aboveMaximum,
  arrayTooLong,
  arrayTooShort,
  belowMinimum,
  codePoints,
  missingParameter,
  propertyNameTooLong,
  repeatedItem,
  stringTooLong,
  stringTooShort,
  tooManyProperties,
  unsupportedValue,
  wrongPattern,
  wrongType,
} from "./wording.ts";

/** With the validator's `verbose` option every error carries the value it is about. */
type Finding = FastifySchemaValidationError & { data?: unknown };

const WHOLE_BODY = "the request body";

/** The refusal for the first finding of a validation. */
export function schemaRefusal(findings: readonly Finding[]): ApiError {
  // A bad property name is found twice: by its own rule, and by `propertyNames`, which knows the name.
  const finding = findings.find(({ keyword }) => keyword === "propertyNames") ?? findings[0];
  if (finding === undefined) return new ApiError(400, "The request is not valid.");
  const name = parameterName(finding.instancePath);
  const { keyword, params, data } = finding;
  switch (keyword) {
    case "required":
      return missingParameter(join(name, String(params["missingProperty"])));
    case "type":
      // Of "this or null", null goes without saying.
      return typeRefusal(name, String([params["type"]].flat()[0]), data);
    case "enum":
      return unsupportedValue(name, String(data), params["allowedValues"] as string[]);
    case "const":
      return unsupportedValue(name, String(data), [String(params["allowedValue"])]);
    case "minimum":
      return belowMinimum(name, Number(params["limit"]), Number(data));
    case "maximum":
      return aboveMaximum(name, Number(params["limit"]), Number(data));
    case "maxLength":
      return stringTooLong(name, Number(params["limit"]), codePoints(String(data)));
    case "minLength":
      return stringTooShort(name, Number(params["limit"]), codePoints(String(data)));
    case "pattern":
      return wrongPattern(name, String(params["pattern"]));
    case "minItems":
      return arrayTooShort(name, Number(params["limit"]), (data as unknown[]).length);
    case "maxItems":
      return arrayTooLong(name, Number(params["limit"]), (data as unknown[]).length);
    case "uniqueItems": {
      const places = [Number(params["i"]), Number(params["j"])];
      return repeatedItem(name, Math.min(...places), Math.max(...places));
    }
    case "maxProperties":
      return tooManyProperties(name, Number(params["limit"]), Object.keys(data as object).length);
    case "propertyNames": {
      const property = String(params["propertyName"]);
      const limit = findings.find((other) => other.keyword === "maxLength")?.params["limit"];
      return propertyNameTooLong(name, property, Number(limit), codePoints(property));
    }
    default:
      return new ApiError(400, `Invalid '${name}': ${finding.message ?? keyword}.`, {
        code: "invalid_value",
        param: name,
      });
  }
}

function typeRefusal(name: string, type: string, data: unknown): ApiError {
  const expected = /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
  if (name !== "") return wrongType(name, expected, describeJson(data));
  const message = `Invalid type for ${WHOLE_BODY}: expected ${expected}, but got ${describeJson(data)} instead.`;
  return new ApiError(400, message, { code: "invalid_type" });
}

/** `/metadata/a~1b/0` → `metadata.a/b[0]`; "" for the whole body. */
function parameterName(pointer: string): string {
  const steps = pointer.split("/").slice(1);
  return steps
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce(
      (name, step) => (/^\d+$/.test(step) && name !== "" ? `${name}[${step}]` : join(name, step)),
      "",
    );
}

function join(name: string, step: string): string {
  return name === "" ? step : `${name}.${step}`;
}
