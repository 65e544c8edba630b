// The address of an upstream in one spelling, as the OpenAI SDKs take it: with the version at its
// end, whichever that is (`/v1`, `/openai/v1`, `/v1beta/openai`), and without a slash behind it.
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
  // A bare host is what people copy from a server's log.
  url.pathname = url.pathname.replace(/\/+$/, "") || "/v1";
  return url;
}

/** `host:port` with the port always there: the name of an upstream that was given none. */
export function hostAndPort(url: URL): string {
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return `${url.hostname}:${port}`;
}
