import { expect, test } from "vitest";
import { schemaRefusal } from "./schema-errors.ts";

const finding = {
  instancePath: "/a/b~1c/0",
  schemaPath: "#",
  message: "must be odd",
  data: 1.5,
};

test.each([
  ["required", { missingProperty: "d" }, "Missing required parameter: 'a.b/c[0].d'.", "a.b/c[0].d"],
  [
    "type",
    { type: "integer" },
    "Invalid type for 'a.b/c[0]': expected an integer, but got a decimal instead.",
    "a.b/c[0]",
  ],
  ["const", { allowedValue: "x" }, "Invalid value: '1.5'. Value must be 'x'.", "a.b/c[0]"],
  [
    "enum",
    { allowedValues: ["x", "y"] },
    "Invalid value: '1.5'. Supported values are: 'x' and 'y'.",
    "a.b/c[0]",
  ],
  ["odd", {}, "Invalid 'a.b/c[0]': must be odd.", "a.b/c[0]"],
])("%s at a nested place", (keyword, params, message, param) => {
  const refusal = schemaRefusal([{ ...finding, keyword, params }]);
  expect(refusal).toMatchObject({ status: 400, message, param });
});

test("a long value is not repeated whole", () => {
  const data = "😀".repeat(1_000);
  const params = { allowedValues: ["x"] };
  const { message } = schemaRefusal([{ ...finding, keyword: "enum", params, data }]);
  expect(message.length).toBeLessThan(300);
  expect(message.isWellFormed()).toBe(true);
});
