// An upload that goes as far as the test lets it: the form is sent piece by piece, so that a server can
// be killed in the middle of it.
import { once } from "node:events";
import { type ClientRequest, request } from "node:http";

const BOUNDARY = "offpeak-slow-upload";

export class SlowUpload {
  readonly #request: ClientRequest;
  readonly #answer: Promise<string | null>;

  /** @param url of the server, without `/v1` */
  constructor(url: string, filename: string) {
    this.#request = request(`${url}/v1/files`, {
      method: "POST",
      headers: { "content-type": `multipart/form-data; boundary=${BOUNDARY}` },
    });
    this.#answer = new Promise((resolve) => {
      this.#request.on("error", () => resolve(null));
      this.#request.on("response", (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => (body += text));
        response.on("end", () => {
          const { id } = JSON.parse(body) as { id?: string };
          resolve(response.statusCode === 200 && id !== undefined ? id : null);
        });
        response.on("error", () => resolve(null));
      });
    });
    this.#request.write(
      `--${BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n` +
        `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="${filename}"\r\n\r\n`,
    );
  }

  /** Sends bytes of the file; resolves when the connection has taken them. */
  async send(bytes: Uint8Array): Promise<void> {
    if (!this.#request.write(bytes)) await once(this.#request, "drain");
  }

  /** Sends the end of the form. Does not wait for the answer. */
  finish(): void {
    this.#request.end(`\r\n--${BOUNDARY}--\r\n`);
  }

  /** The id of the file, or null when the server gave none: refused, or died. */
  async fileId(): Promise<string | null> {
    return this.#answer;
  }
}
