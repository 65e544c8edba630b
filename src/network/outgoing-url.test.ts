import { describe, expect, it } from "vitest";
import { AddressRefusedError, checkOutgoingUrl, OutgoingUrlError } from "./outgoing-url.ts";

const check = (url: string, allowPrivate = false) => checkOutgoingUrl(url, { allowPrivate }).href;

it.each([
  ["https://example.com/hooks?key=1", "https://example.com/hooks?key=1"],
  ["https://EXAMPLE.com:8443", "https://example.com:8443/"],
  ["https://8.8.8.8/x", "https://8.8.8.8/x"],
  ["https://[2606:4700::1111]/", "https://[2606:4700::1111]/"],
  // Names are judged by what they resolve to.
  ["https://metadata.google.internal/", "https://metadata.google.internal/"],
])("takes %s", (url, href) => {
  expect(check(url)).toBe(href);
});

describe("refuses the address of", () => {
  it.each([
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://0x7f.1/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://0177.0.0.1/",
    "https://①②⑦.0.0.1/",
    "https://%31%32%37.0.0.1/",
    "https://127。0。0。1/",
    "https://0/",
    "https://10.1.2.3:443/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[0:0:0:0:0:ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[fe80::1]/",
    "https://localhost/",
    "https://localhost./",
    "https://LOCALHOST:8443/",
    "https://api.localhost/",
    "\thttps://local\nhost/",
  ])("%j", (url) => {
    expect(() => check(url)).toThrow(AddressRefusedError);
    expect(check(url, true)).toMatch(/^https:/);
  });
});

it.each([
  "ftp://example.com/",
  "file:///etc/passwd",
  "data:,x",
  "example.com",
  "",
  "https://",
  "//x",
])("takes http and https only, and no %j", (url) => {
  for (const allowPrivate of [false, true]) {
    expect(() => check(url, allowPrivate)).toThrow("Expected a URL such as https://");
  }
});

it("takes http only where private networks may be reached", () => {
  expect(() => check("http://example.com/?key=s3cret")).toThrow(
    "Expected an https URL for example.com, but got http.",
  );
  expect(check("http://127.0.0.1:9000/", true)).toBe("http://127.0.0.1:9000/");
});

it("refuses credentials and does not repeat them", () => {
  for (const url of ["https://user:s3cret@example.com/", "https://s3cret@example.com/"]) {
    const refused = () => check(url, true);
    expect(refused).toThrow(OutgoingUrlError);
    expect(refused).toThrow("The URL for example.com holds credentials. Take them out.");
  }
});

it("refuses a URL without end", () => {
  expect(check(`https://example.com/${"x".repeat(2_000)}`)).toHaveLength(2_020);
  expect(() => check(`https://example.com/${"x".repeat(2_048)}`)).toThrow(
    "Expected a URL of at most 2048 characters, but got 2068.",
  );
});

it("says which address it was, and what to set", () => {
  expect(() => check("https://0x7f.1/path?key=s3cret")).toThrow(
    new AddressRefusedError("127.0.0.1"),
  );
  expect(new AddressRefusedError("a.example").message).toBe(
    "a.example is not on the public internet, or resolves to an address that is not. If it is meant, let the " +
      "server reach private networks with allow_private_addresses (--allow-private-addresses).",
  );
});
