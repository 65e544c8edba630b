import { expect, it } from "vitest";
import { describeNetworkError } from "./network-error.ts";

const refused = (address: string) =>
  Object.assign(new Error(`connect ECONNREFUSED ${address}`), { code: "ECONNREFUSED" });

it.each([
  [refused("[::1]:1"), "connect ECONNREFUSED [::1]:1"],
  [
    new AggregateError([refused("[::1]:1"), refused("127.0.0.1:1")]),
    "connect ECONNREFUSED [::1]:1",
  ],
  [Object.assign(new Error(""), { code: "EPIPE" }), "EPIPE"],
  [new TypeError(""), "TypeError"],
  [Object.assign(new AggregateError([]), { code: "EX" }), "EX"],
  ["broken", "broken"],
  [undefined, "undefined"],
])("describes %s", (error, text) => {
  expect(describeNetworkError(error)).toBe(text);
});
