import { expect, test } from "vitest";
import { ApiError } from "./api-error.ts";

test("a refusal without further particulars", () => {
  const error = new ApiError(404, "No such thing.");
  expect(error).toMatchObject({
    name: "ApiError",
    message: "No such thing.",
    status: 404,
    type: "invalid_request_error",
    code: null,
    param: null,
  });
});

test("a failure of the server has another type", () => {
  expect(new ApiError(500, "Oh.").type).toBe("server_error");
});

test("what is given is kept", () => {
  const about = { type: "requests", code: "rate_limit_exceeded", param: "limit" };
  expect(new ApiError(429, "Slow down.", about)).toMatchObject(about);
});
