// Lists of files and of batches: order, cursors, ends of pages.

import { describe, expect, it } from "vitest";
import type { StoredFile } from "../../../src/core/file.ts";
import { NotFoundError } from "../../../src/core/store.ts";
import type { Store } from "../../../src/core/store.ts";
import { OTHER_PROJECT, PROJECT, aBatch, aFile } from "./store-under-test.ts";
import type { OpenStore } from "./store-under-test.ts";

interface PageQuery {
  after?: string;
  limit: number;
}

interface Listed {
  insert: (store: Store, id: string, projectId: string) => Promise<unknown>;
  list: (store: Store, query: PageQuery) => Promise<{ ids: string[]; hasMore: boolean }>;
}

const nouns: Record<string, Listed> = {
  files: {
    insert: (store, id, projectId) => store.files.insert(aFile(id, { projectId })),
    list: (store, query) => listFiles(store, query),
  },
  batches: {
    insert: (store, id, projectId) => store.batches.insert(aBatch(id, { projectId })),
    list: async (store, query) => {
      const page = await store.batches.list(PROJECT, query);
      return { ids: page.data.map((batch) => batch.id), hasMore: page.hasMore };
    },
  },
};

async function listFiles(
  store: Store,
  query: PageQuery & { order?: "asc" | "desc"; purpose?: StoredFile["purpose"]; now?: number },
): Promise<{ ids: string[]; hasMore: boolean }> {
  const page = await store.files.list(PROJECT, { order: "desc", now: 5_000, ...query });
  return { ids: page.data.map((file) => file.id), hasMore: page.hasMore };
}

export function pagingCases(open: OpenStore): void {
  describe.each(Object.keys(nouns))("%s", (name) => {
    const { insert, list } = nouns[name]!;

    it("are listed newest first, in pages that say exactly whether more follow", async () => {
      const { store } = await open();
      for (const id of ["a", "b", "c", "d"]) await insert(store, id, PROJECT);
      expect(await list(store, { limit: 3 })).toEqual({ ids: ["d", "c", "b"], hasMore: true });
      expect(await list(store, { limit: 4 })).toEqual({
        ids: ["d", "c", "b", "a"],
        hasMore: false,
      });
      expect(await list(store, { limit: 2, after: "c" })).toEqual({
        ids: ["b", "a"],
        hasMore: false,
      });
    });

    it("end with an empty page after the last id", async () => {
      const { store } = await open();
      expect(await list(store, { limit: 2 })).toEqual({ ids: [], hasMore: false });
      await insert(store, "a", PROJECT);
      expect(await list(store, { limit: 2, after: "a" })).toEqual({ ids: [], hasMore: false });
    });

    it("never say of an empty page that more follow", async () => {
      const { store } = await open();
      await insert(store, "a", PROJECT);
      expect(await list(store, { limit: 0 })).toEqual({ ids: [], hasMore: false });
    });

    it("are listed for one project", async () => {
      const { store } = await open();
      await insert(store, "a", PROJECT);
      await insert(store, "b", OTHER_PROJECT);
      expect(await list(store, { limit: 1 })).toEqual({ ids: ["a"], hasMore: false });
    });

    it("refuse a cursor that the project never had", async () => {
      const { store } = await open();
      await insert(store, "b", OTHER_PROJECT);
      await expect(list(store, { limit: 1, after: "a" })).rejects.toThrow(NotFoundError);
      await expect(list(store, { limit: 1, after: "b" })).rejects.toThrow(NotFoundError);
    });
  });

  it("lists files in the order of creation, and of one purpose, when asked to", async () => {
    const { store } = await open();
    for (const id of ["a", "b", "c"]) await store.files.insert(aFile(id));
    await store.files.insert(aFile("d", { purpose: "vision" }));
    expect(await listFiles(store, { limit: 2, order: "asc" })).toEqual({
      ids: ["a", "b"],
      hasMore: true,
    });
    expect(await listFiles(store, { limit: 2, order: "asc", after: "b" })).toEqual({
      ids: ["c", "d"],
      hasMore: false,
    });
    expect(await listFiles(store, { limit: 3, purpose: "batch" })).toEqual({
      ids: ["c", "b", "a"],
      hasMore: false,
    });
    expect(await listFiles(store, { limit: 3, purpose: "batch", after: "d" })).toEqual({
      ids: ["c", "b", "a"],
      hasMore: false,
    });
  });

  it("leaves hidden files out of pages and of what follows", async () => {
    const { store } = await open();
    await store.files.insert(aFile("expired", { expiresAt: 5_000 }));
    await store.files.insert(aFile("deleted"));
    await store.files.insert(aFile("visible"));
    await store.files.delete(PROJECT, "deleted", 1_000);
    expect(await listFiles(store, { limit: 1 })).toEqual({ ids: ["visible"], hasMore: false });
    expect(await listFiles(store, { limit: 1, now: 4_999 })).toEqual({
      ids: ["visible"],
      hasMore: true,
    });
  });

  it("goes on after a file that was deleted, reclaimed or has expired", async () => {
    const { store } = await open();
    await store.files.insert(aFile("oldest"));
    await store.files.insert(aFile("deleted"));
    await store.files.insert(aFile("reclaimed"));
    await store.files.insert(aFile("expired", { expiresAt: 2_000 }));
    await store.files.delete(PROJECT, "deleted", 1_000);
    await store.files.delete(PROJECT, "reclaimed", 1_000);
    await store.files.markReclaimed("reclaimed");
    for (const after of ["expired", "reclaimed", "deleted"]) {
      expect(await listFiles(store, { limit: 5, after })).toEqual({
        ids: ["oldest"],
        hasMore: false,
      });
    }
  });

  it("survives a loop that lists and deletes", async () => {
    const { store } = await open();
    for (let index = 0; index < 25; index += 1) await store.files.insert(aFile(`file-${index}`));
    const seen: string[] = [];
    let after: string | undefined;
    for (let hasMore = true; hasMore;) {
      const page = await listFiles(store, after === undefined ? { limit: 4 } : { limit: 4, after });
      for (const id of page.ids) await store.files.delete(PROJECT, id, 5_000);
      seen.push(...page.ids);
      after = page.ids.at(-1);
      hasMore = page.hasMore;
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, index) => `file-${24 - index}`));
  });
}
