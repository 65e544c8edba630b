// Downloads of ranges of a file, so that one that broke off can go on.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { form } from "../../support/multipart-form.ts";
import { send } from "../../support/raw-http.ts";

const CONTENT = "0123456789";

export function rangesSuite(startApi: StartApi): void {
  describe("ranges", () => {
    let api: ApiStack;
    let path: string;
    let emptyPath: string;
    let etag: string;

    async function upload(value: string): Promise<string> {
      const file = { name: "file", value, filename: "a.txt" };
      const request = form({ name: "purpose", value: "evals" }, file);
      const answer = await send(api.baseUrl, "/v1/files", request);
      return `/v1/files/${(answer.json as { id: string }).id}/content`;
    }

    beforeAll(async () => {
      api = await startApi();
      path = await upload(CONTENT);
      emptyPath = await upload("");
      etag = `"${path.split("/")[3]}"`;
    });
    afterAll(() => api.close());

    const get = (headers: Record<string, string>) => send(api.baseUrl, path, { headers });

    test.each([
      ["bytes=0-0", "0", "0-0"],
      ["bytes=2-4", "234", "2-4"],
      ["bytes=0-9", CONTENT, "0-9"],
      ["bytes=5-", "56789", "5-9"],
      ["bytes=9-", "9", "9-9"],
      ["bytes=-3", "789", "7-9"],
      ["bytes=-10", CONTENT, "0-9"],
      ["bytes=-99", CONTENT, "0-9"],
      ["bytes=8-99999999999999999999", "89", "8-9"],
      ["Bytes=1-1", "1", "1-1"],
    ])("%s is %s", async (range, text, span) => {
      const answer = await get({ range });
      expect(answer).toMatchObject({ status: 206, text });
      expect(answer.headers).toMatchObject({
        "content-range": `bytes ${span}/10`,
        "content-length": String(text.length),
        "content-type": "application/octet-stream",
        "content-disposition": 'attachment; filename="a.txt"',
        "accept-ranges": "bytes",
        etag,
      });
    });

    test.each([
      "bytes=0-1,3-4",
      "bytes=-",
      "bytes=4-2",
      "bytes=a-b",
      "bytes 0-1",
      "lines=0-1",
      "bytes=0x1-2",
      "",
    ])("%j is the whole file", async (range) => {
      const answer = await get({ range });
      expect(answer).toMatchObject({ status: 200, text: CONTENT });
      expect(answer.headers).toMatchObject({ "content-length": "10", etag });
      expect(answer.headers).not.toHaveProperty("content-range");
    });

    test.each(["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"])(
      "%s can't be had",
      async (range) => {
        const answer = await get({ range });
        expect(answer).toMatchObject({
          status: 416,
          json: {
            error: {
              message: `The range '${range}' can't be had: the file has 10 bytes.`,
              type: "invalid_request_error",
              param: null,
              code: null,
            },
          },
        });
        expect(answer.headers["content-range"]).toBe("bytes */10");
        expect(answer.headers).not.toHaveProperty("content-disposition");
      },
    );

    test.each(["bytes=0-", "bytes=-1", "bytes=0-0"])("an empty file has no %s", async (range) => {
      const answer = await send(api.baseUrl, emptyPath, { headers: { range } });
      expect(answer.status).toBe(416);
      expect(answer.headers["content-range"]).toBe("bytes */0");
    });

    test("If-Range gives the range of the same content, and else the whole", async () => {
      const range = "bytes=1-2";
      expect(await get({ range, "if-range": etag })).toMatchObject({ status: 206, text: "12" });
      const others = ['"file-other"', `W/${etag}`, "Sun, 22 Nov 2026 10:00:00 GMT"];
      for (const other of others) {
        const answer = await get({ range, "if-range": other });
        expect(answer).toMatchObject({ status: 200, text: CONTENT });
      }
      const gone = { range: "bytes=50-", "if-range": '"file-other"' };
      expect(await get(gone)).toMatchObject({ status: 200, text: CONTENT });
    });

    test("HEAD says that ranges can be had, and gives none", async () => {
      const headers = { range: "bytes=1-2" };
      const answer = await send(api.baseUrl, path, { method: "HEAD", headers });
      expect(answer).toMatchObject({ status: 200, text: "" });
      expect(answer.headers).toMatchObject({
        "accept-ranges": "bytes",
        "content-length": "10",
        etag,
      });
    });

    test("a download in ranges over several pieces is the same file", async () => {
      const content = Buffer.from(
        Uint8Array.from({ length: 1_000_003 }, (_, at) => (at * 7) % 251),
      );
      const large = await upload(content.toString("latin1"));
      const whole = await send(api.baseUrl, large);
      const step = 400_000;
      const ranges: Buffer[] = [];
      for (let start = 0; start < whole.bytes.length; start += step) {
        const headers = { range: `bytes=${start}-${start + step - 1}` };
        ranges.push((await send(api.baseUrl, large, { headers })).bytes);
      }
      expect(Buffer.concat(ranges).equals(whole.bytes)).toBe(true);
    });
  });
}
