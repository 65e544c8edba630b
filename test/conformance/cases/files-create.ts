// POST /v1/files: the form in every shape clients send it, and what it refuses.
import { strict as assert } from "node:assert";
import { type Case, smallProject } from "../case.ts";
import { has, ok, refused } from "../checks.ts";
import {
  DAY_SECONDS,
  chatLine,
  fileForm,
  jsonl,
  sendFile,
  sharedInput,
  upload,
} from "../samples.ts";
import { type WireFile, fileSchema } from "../schemas/file.ts";
import type { Answer, Target } from "../target.ts";

const purposes = ["fine-tune", "assistants", "batch", "user_data", "vision", "evals"];
const LINE = '{"custom_id": "a"}\n';
const anchor = { "expires_after[anchor]": "created_at" };
const notJsonl = {
  status: 400,
  code: null,
  param: null,
  message: "Invalid file format for Batch API. Must be .jsonl",
};

/** A form written by hand, as SDKs write it that have no FormData. */
function formByHand(parts: readonly { head: string; value: string }[]) {
  const boundary = "a-boundary-of-its-own";
  const pieces = parts.map(
    ({ head, value }) =>
      `--${boundary}\r\ncontent-disposition: form-data; ${head}\r\n\r\n${value}\r\n`,
  );
  return {
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
    body: `${pieces.join("")}--${boundary}--\r\n`,
  };
}

const purposeByHand = { head: 'name="purpose"', value: "batch" };
const fileByHand = { head: 'name="file"; filename="in.jsonl"', value: LINE };

async function taken(target: Target, request: object): Promise<WireFile> {
  return ok(await target.send("/files", { method: "POST", ...request }), fileSchema);
}

function sendForm(target: Target, form: FormData): Promise<Answer> {
  return target.send("/files", { method: "POST", body: form });
}

export const filesCreateCases: readonly Case[] = [
  {
    row: "files.create",
    name: "the answer is 200 with the file, which is there at once",
    async run(target) {
      const file = await upload(target, LINE, { filename: "in.jsonl" });
      has(file, { purpose: "batch", filename: "in.jsonl", bytes: LINE.length });
      assert.deepEqual(ok(await target.send(`/files/${file.id}`), fileSchema), file);
    },
  },
  {
    row: "files.create.purpose",
    name: "all six purposes are taken",
    async run(target) {
      for (const purpose of purposes) {
        has(await upload(target, LINE, { purpose }), { purpose });
      }
    },
  },
  {
    row: "files.create.purpose-missing",
    name: "a form without a purpose is a 400",
    async run(target) {
      const form = fileForm(LINE);
      form.delete("purpose");
      refused(await sendForm(target, form), { status: 400 });
    },
  },
  {
    row: "files.create.purpose-unknown",
    name: "another purpose is refused with the list of those there are",
    async run(target) {
      const list = purposes.map((purpose) => `'${purpose}'`).join(", ");
      for (const purpose of ["batches", "batch_output", "BATCH"]) {
        refused(await sendFile(target, LINE, { purpose }), {
          status: 400,
          code: null,
          param: "purpose",
          message: `'${purpose}' is not one of [${list}] - 'purpose'`,
        });
      }
    },
  },
  {
    row: "files.create.file-missing",
    name: "a form without a file is a 400",
    async run(target) {
      const form = fileForm(LINE);
      form.delete("file");
      refused(await sendForm(target, form), { status: 400 });
    },
  },
  {
    row: "files.create.two-files",
    name: "a form with two files is a 400",
    needs: ["offpeak"],
    async run(target) {
      const form = fileForm(LINE);
      form.append("file", new Blob([LINE]), "two.jsonl");
      refused(await sendForm(target, form), { status: 400, message: /more than one file/ });
    },
  },
  {
    row: "files.create.extension",
    name: "a batch input whose name ends otherwise than in .jsonl is refused",
    async run(target) {
      for (const filename of ["in.json", "in.txt", "in.jsonl.gz"]) {
        refused(await sendFile(target, LINE, { filename }), notJsonl);
      }
    },
  },
  {
    row: "files.create.extension",
    name: "files of other purposes may have any name",
    async run(target) {
      const fields = { filename: "a b.txt", purpose: "user_data" };
      has(await upload(target, "anything", fields), { filename: "a b.txt" });
    },
  },
  {
    row: "files.create.unnamed",
    name: "the names SDKs make up for content without one are judged by the content",
    needs: ["offpeak"],
    async run(target) {
      for (const filename of ["upload", "unknown_file", "anonymous_file"]) {
        has(await upload(target, LINE, { filename }), { filename });
        refused(await sendFile(target, "no json\n", { filename }), notJsonl);
      }
      const nameless = { head: 'name="file"', value: LINE };
      has(await taken(target, formByHand([purposeByHand, nameless])), { filename: "upload" });
    },
  },
  {
    row: "files.create.empty",
    name: "an empty batch input is refused",
    async run(target) {
      refused(await sendFile(target, ""), notJsonl);
    },
  },
  {
    row: "files.create.first-line",
    name: "a batch input whose first line is not JSON is refused",
    async run(target) {
      refused(await sendFile(target, `no json\n${LINE}`), notJsonl);
    },
  },
  {
    row: "files.create.later-lines",
    name: "later lines are not looked at, nor what is in the first",
    async run(target) {
      await upload(target, '{"no": "custom_id"}\nno json\n');
    },
  },
  {
    row: "files.create.too-large",
    name: "a batch input over the limit is refused, another file over its own",
    needs: ["other-settings"],
    async run(target) {
      const small = target.with("other-settings");
      const tooLarge = { status: 400, code: null, param: null, message: "File is too large." };
      const line = (bytes: number) => `{"a":"${"x".repeat(bytes - 9)}"}\n`;
      await upload(small, line(4_000));
      refused(await sendFile(small, line(4_001)), tooLarge);
      await upload(small, line(5_000), { purpose: "user_data" });
      refused(await sendFile(small, line(5_001), { purpose: "user_data" }), tooLarge);
    },
  },
  {
    row: "files.create.storage",
    name: "a file that does not fit into the project's storage is refused",
    needs: ["small-project"],
    async run(target) {
      const small = target.with("small-project");
      const { stored_bytes: most } = smallProject;
      const answer = await sendFile(small, "x".repeat(most + 1), { purpose: "user_data" });
      refused(answer, {
        status: 400,
        code: "storage_limit_exceeded",
        message: new RegExp(`${most} bytes`),
      });
    },
  },
  {
    row: "files.create.expires-after",
    name: "expires_after[anchor] and expires_after[seconds] set the lifetime",
    async run(target) {
      for (const purpose of ["batch", "user_data"]) {
        const fields = { purpose, ...anchor, "expires_after[seconds]": "7200" };
        const file = await upload(target, LINE, fields);
        assert.equal(file.expires_at, file.created_at + 7_200);
      }
    },
  },
  {
    row: "files.create.expires-after-default",
    name: "a batch input lives for 30 days, any other file until it is deleted",
    async run(target) {
      const input = await sharedInput(target);
      assert.equal(input.expires_at, input.created_at + 30 * DAY_SECONDS);
      assert.equal((await upload(target, LINE, { purpose: "user_data" })).expires_at, null);
    },
  },
  {
    row: "files.create.expires-after-range",
    name: "seconds are from 3600 to 2592000, ends included",
    async run(target) {
      for (const seconds of ["3600", "2592000"]) {
        await upload(target, LINE, { ...anchor, "expires_after[seconds]": seconds });
      }
      for (const seconds of ["3599", "2592001", "soon"]) {
        const answer = await sendFile(target, LINE, {
          ...anchor,
          "expires_after[seconds]": seconds,
        });
        refused(answer, { status: 400, param: "expires_after.seconds" });
      }
    },
  },
  {
    row: "files.create.expires-after-anchor",
    name: "created_at is the only anchor, and required",
    needs: ["offpeak"],
    async run(target) {
      const seconds = { "expires_after[seconds]": "3600" };
      const wrong = { ...seconds, "expires_after[anchor]": "last_active_at" };
      const param = "expires_after.anchor";
      refused(await sendFile(target, LINE, wrong), { status: 400, param });
      refused(await sendFile(target, LINE, seconds), { status: 400, param });
    },
  },
  {
    row: "files.create.expires-after-spelling",
    name: "dots and one part of JSON are understood too",
    needs: ["offpeak"],
    async run(target) {
      const spellings: Record<string, string>[] = [
        { "expires_after.anchor": "created_at", "expires_after.seconds": "7200" },
        { "expires_after.seconds": "7200" },
        { expires_after: '{"anchor": "created_at", "seconds": 7200}' },
      ];
      for (const fields of spellings) {
        const file = await upload(target, LINE, fields);
        assert.equal(file.expires_at, file.created_at + 7_200, JSON.stringify(fields));
      }
    },
  },
  {
    row: "files.create.part-order",
    name: "the file may come before the purpose",
    async run(target) {
      has(await taken(target, formByHand([fileByHand, purposeByHand])), { purpose: "batch" });
    },
  },
  {
    row: "files.create.chunks",
    name: "a form that arrives in small pieces is the same form",
    async run(target) {
      const { headers, body } = formByHand([purposeByHand, fileByHand]);
      const bytes = Buffer.from(body);
      const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, n) =>
        bytes.subarray(7 * n, 7 * n + 7),
      );
      const stream = ReadableStream.from(pieces) as ReadableStream;
      has(await taken(target, { headers, body: stream }), { purpose: "batch", bytes: LINE.length });
    },
  },
  {
    row: "files.create.not-a-form",
    name: "a form that ends too early is a 400",
    async run(target) {
      const { headers, body } = formByHand([purposeByHand, fileByHand]);
      const cut = { headers, body: body.slice(0, -30) };
      refused(await target.send("/files", { method: "POST", ...cut }), { status: 400 });
    },
  },
  {
    row: "files.create.fields-unknown",
    name: "fields it does not know are ignored",
    needs: ["offpeak"],
    async run(target) {
      await upload(target, LINE, { user: "someone" });
    },
  },
  {
    row: "files.create.filename",
    name: "a name comes back as it went, in any alphabet, up to 512 characters",
    needs: ["offpeak"],
    async run(target) {
      for (const filename of ["Anfragen für März.jsonl", `${"n".repeat(506)}.jsonl`]) {
        has(await upload(target, LINE, { filename }), { filename });
      }
      refused(await sendFile(target, LINE, { filename: `${"n".repeat(507)}.jsonl` }), {
        status: 400,
        code: "string_above_max_length",
        param: "filename",
      });
    },
  },
  {
    row: "files.create.same-twice",
    name: "the same content twice is two files",
    async run(target) {
      const content = jsonl([chatLine(target, "a", "Hi")]);
      assert.notEqual((await upload(target, content)).id, (await upload(target, content)).id);
    },
  },
];
