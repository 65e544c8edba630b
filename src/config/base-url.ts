// The address of an upstream in one spelling: without the `/v1` and the slashes at its end, so that
// the path of an endpoint, which begins with `/v1/`, is simply appended.
import { ConfigError, refuse } from "./config-error.ts";

const EXPECTED = "a URL such as http://localhost:8000/v1";

/** Normalises an upstream's URL. Throws ConfigError naming `place`. */
export function readBaseUrl(place: string, value: unknown): URL {
  if (typeof value !== "string" || !URL.canParse(value)) return refuse(place, EXPECTED, value);
  const url = new URL(value);
  if (url.username !== "" || url.password !== "") {
    throw new ConfigError(
      `${place}: the URL holds credentials. Take them out, and give the key as api_key in the ` +
        "configuration file or as OFFPEAK_UPSTREAM_API_KEY.",
    );
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    return refuse(place, EXPECTED, value, "Only http and https are supported.");
  }
  if (url.search !== "" || url.hash !== "") {
    return refuse(place, EXPECTED, value, "Leave out what begins with ? or #.");
  }
  url.pathname = url.pathname.replace(/\/+$/, "").replace(/\/v1$/, "").replace(/\/+$/, "");
  return url;
}

/** The URL as text that ends without a slash. */
export function baseUrlText(url: URL): string {
  return url.href.replace(/\/$/, "");
}

/** `host:port` with the port always there: the name of an upstream that was given none. */
export function hostAndPort(url: URL): string {
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return `${url.hostname}:${port}`;
}
