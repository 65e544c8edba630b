// GET /v1/batches with conditions, beyond OpenAI's API.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiStack, StartApi } from "../../support/api-stack.ts";
import { bring } from "../../support/batch-states.ts";
import { json, send } from "../../support/raw-http.ts";
import { newBatch } from "./refusal.ts";

export function batchFiltersSuite(startApi: StartApi): void {
  describe("batch filters", () => {
    let api: ApiStack;
    /** Ids by name. */
    const ids: Record<string, string> = {};
    let firstSecond: number;

    async function create(name: string, metadata: Record<string, string> | null): Promise<string> {
      const body = { ...newBatch, metadata };
      const answer = await send(api.baseUrl, "/v1/batches", { method: "POST", ...json(body) });
      const { id, created_at: createdAt } = answer.json as { id: string; created_at: number };
      ids[name] = id;
      firstSecond ??= createdAt;
      return id;
    }

    beforeAll(async () => {
      api = await startApi();
      await bring(
        api.store,
        { id: await create("done", { team: "search", "a[b]=c": "1" }) },
        "completed",
      );
      await bring(api.store, { id: await create("failed", { team: "search" }) }, "failed");
      api.passTime(10_000);
      await create("fresh", { team: "ads", empty: "" });
      await create("bare", null);
    });
    afterAll(() => api.close());

    async function names(query: string): Promise<string[]> {
      const { status, json: page } = await send(api.baseUrl, `/v1/batches?${query}`);
      expect(status).toBe(200);
      const found = (page as { data: { id: string }[] }).data.map(({ id }) => id);
      return found.map((id) => Object.keys(ids).find((name) => ids[name] === id) ?? id);
    }

    test.each<[string, string[]]>([
      ["", ["bare", "fresh", "failed", "done"]],
      ["status=", ["bare", "fresh", "failed", "done"]],
      ["status=completed", ["done"]],
      ["status=validating", ["bare", "fresh"]],
      ["status=cancelled", []],
      ["status=failed&status=validating", ["bare", "fresh"]],
      ["model=model-1", ["done"]],
      ["model=model-2", []],
      ["model=", ["bare", "fresh", "failed", "done"]],
      ["metadata[team]=search", ["failed", "done"]],
      ["metadata%5Bteam%5D=search", ["failed", "done"]],
      ["metadata[team]=search&metadata[a[b]%3Dc]=1", ["done"]],
      ["metadata[team]=nobody", []],
      ["metadata[empty]=", ["fresh"]],
      ["metadata[empty]", ["fresh"]],
      ["metadata[__proto__]=x", []],
      ["metadata[team]=search&status=failed", ["failed"]],
      ["status=validating&limit=1", ["bare"]],
      ["created_after=0", ["bare", "fresh", "failed", "done"]],
      ["created_after=8640000000000", []],
      ["colour=red", ["bare", "fresh", "failed", "done"]],
    ])("%s", async (query, expected) => {
      expect(await names(query)).toEqual(expected);
    });

    test("created_after counts whole seconds, and leaves its own out", async () => {
      expect(await names(`created_after=${firstSecond + 5}`)).toEqual(["bare", "fresh"]);
      expect(await names(`created_after=${firstSecond - 1}`)).toHaveLength(4);
      expect(await names(`created_after=${firstSecond}`)).not.toContain("done");
    });

    test("pages are made of what is filtered", async () => {
      const query = "status=validating&limit=1";
      const { json: page } = await send(api.baseUrl, `/v1/batches?${query}`);
      expect(page).toMatchObject({ has_more: true, last_id: ids["bare"] });
      expect(await names(`${query}&after=${ids["bare"]}`)).toEqual(["fresh"]);
      expect(await names(`${query}&after=${ids["fresh"]}`)).toEqual([]);
    });
  });
}
