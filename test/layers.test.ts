// Keeps the layer table of src/: which folder may import which, and which packages. Reads every import
// of the source, and proves over a tree of sample files that the lint rules draw the same lines.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

interface Layer {
  /** Other layers it may import. Its own files it may always import. */
  readonly layers: readonly string[];
  /** Packages it may import; `@scope/*` stands for every package of a scope. */
  readonly packages: readonly string[];
  /** Layers that single files of it may import besides. */
  readonly exceptions?: Readonly<Record<string, readonly string[]>>;
}

const services = { layers: ["core", "observability"], packages: [] };

const table: Readonly<Record<string, Layer>> = {
  core: { layers: [], packages: [] },
  config: { layers: ["core"], packages: ["typebox", "yaml"] },
  observability: { layers: ["core"], packages: ["@opentelemetry/api", "pino", "prom-client"] },
  network: { layers: ["core", "observability"], packages: ["undici"] },
  files: services,
  uploads: { layers: ["core", "files", "observability"], packages: [] },
  projects: services,
  batches: services,
  lanes: services,
  nodes: services,
  migration: services,
  engine: { layers: ["core", "files", "lanes", "observability"], packages: [] },
  gateway: { layers: ["core", "lanes", "observability"], packages: [] },
  "storage/disk": { layers: ["core", "observability"], packages: [] },
  "storage/s3": { layers: ["core", "observability"], packages: ["@aws-sdk/*"] },
  "storage/sql": { layers: ["core", "observability"], packages: ["kysely", "pg"] },
  upstream: { layers: ["core", "network", "observability"], packages: ["undici"] },
  webhooks: {
    layers: ["core", "network", "observability"],
    packages: ["standardwebhooks", "undici"],
  },
  http: {
    layers: ["core", "files", "uploads", "projects", "batches", "gateway", "observability"],
    packages: ["@fastify/*", "ajv-formats", "fastify", "typebox"],
  },
  simulator: { layers: ["core"], packages: [] },
  workers: {
    layers: ["core", "config", "lanes", "observability"],
    packages: [],
    exceptions: {
      "workers/engine-parts.ts": ["engine", "network", "upstream"],
      "workers/worker-main.ts": ["storage/disk"],
      "workers/storage.ts": ["storage/disk", "storage/s3", "storage/sql"],
    },
  },
  cli: {
    layers: ["core", "config"],
    packages: ["commander"],
    exceptions: {
      "cli/administer.ts": ["main"],
      "cli/migrate.ts": ["main"],
      "cli/run.ts": ["main"],
      "cli/serve.ts": ["main"],
      "cli/simulate.ts": ["simulator"],
    },
  },
};

/** What lies outside of src and may be imported: whoever builds the package puts it in. */
const outside: readonly string[] = ["../package.json"];

/** `main.ts` introduces everything below it; nothing but the commands above imports it. */
const mainMayNotImport: readonly string[] = ["cli", "simulator"];

const run = promisify(execFile);
const repository = path.resolve(import.meta.dirname, "..");
const source = path.join(repository, "src");

/** The layer of a file, named by its path below src/: its folder, or two of them in storage/. */
function layerOf(file: string): string {
  const folders = file.split("/");
  if (folders.length === 1) return folders[0]!.replace(/\.ts$/, "");
  return folders[0] === "storage" ? path.posix.join("storage", folders[1]!) : folders[0]!;
}

function mayImport(file: string, target: string): boolean {
  const from = layerOf(file);
  if (from === target) return true;
  if (from === "main") return target in table && !mainMayNotImport.includes(target);
  const layer = table[from];
  return [...(layer?.layers ?? []), ...(layer?.exceptions?.[file] ?? [])].includes(target);
}

function mayUsePackage(file: string, specifier: string): boolean {
  const from = layerOf(file);
  if (isBuiltin(specifier)) return from !== "core";
  const [scopeOrName, name] = specifier.split("/");
  const scoped = specifier.startsWith("@");
  const allowed = table[from]?.packages ?? [];
  return (
    allowed.includes(scoped ? `${scopeOrName}/${name}` : scopeOrName!) ||
    (scoped && allowed.includes(`${scopeOrName}/*`))
  );
}

/** Every module named by an import, export … from, import() or require() of a file. */
function importsOf(text: string): string[] {
  const forms = [
    /^\s*(?:import|export)\b[^;"']*?\bfrom\s*["']([^"']+)["']/gm,
    /^\s*import\s*["']([^"']+)["']/gm,
    /\b(?:import|require)\s*\(\s*["'`]([^"'`]+)["'`]/g,
  ];
  return forms.flatMap((form) => [...text.matchAll(form)].map((match) => match[1]!));
}

/** What a file does against the table, as sentences; empty when it keeps to it. */
function violations(file: string, text: string): string[] {
  return importsOf(text).flatMap((specifier) => {
    if (!specifier.startsWith(".")) {
      return mayUsePackage(file, specifier) ? [] : [`${file} imports the package ${specifier}`];
    }
    const target = path.posix.join(path.posix.dirname(file), specifier);
    if (target.startsWith("../")) {
      return outside.includes(target) ? [] : [`${file} imports ${specifier}, outside of src`];
    }
    return mayImport(file, layerOf(target)) ? [] : [`${file} imports ${specifier}`];
  });
}

async function sourceFiles(): Promise<string[]> {
  const entries = await readdir(source, { recursive: true });
  return entries
    .map((entry) => entry.replaceAll(path.sep, "/"))
    .filter((entry) => entry.endsWith(".ts") && !entry.endsWith(".test.ts"));
}

describe("the source", () => {
  it("has no folder that is missing from the table", async () => {
    const layers = new Set((await sourceFiles()).map(layerOf));
    expect([...layers].filter((layer) => layer !== "main" && !(layer in table))).toEqual([]);
  });

  it("imports only what the table allows", async () => {
    const found = await Promise.all(
      (await sourceFiles()).map(async (file) =>
        violations(file, await readFile(path.join(source, file), "utf8")),
      ),
    );
    expect(found.flat()).toEqual([]);
  });
});

describe("reading imports", () => {
  it.each([
    ['import { a } from "../http/app.ts";', "../http/app.ts"],
    ['import type { A } from "../http/app.ts";', "../http/app.ts"],
    ['import {\n  a,\n  b,\n} from "../http/app.ts";', "../http/app.ts"],
    ['import * as all from "fastify";', "fastify"],
    ['import "../http/app.ts";', "../http/app.ts"],
    ['export { a } from "../http/app.ts";', "../http/app.ts"],
    ['export * from "../http/app.ts";', "../http/app.ts"],
    ['const app = await import("../http/app.ts");', "../http/app.ts"],
    ['let app: import("../http/app.ts").App;', "../http/app.ts"],
    ['const fs = require("fs");', "fs"],
  ])("%s", (text, specifier) => {
    expect(importsOf(text)).toEqual([specifier]);
  });

  it("tells a violation from what is allowed", () => {
    expect(violations("engine/a.ts", 'import { b } from "../http/b.ts";')).toHaveLength(1);
    expect(violations("engine/a.ts", 'import { b } from "../main.ts";')).toHaveLength(1);
    expect(violations("engine/a.ts", 'import { b } from "../../demo/b.ts";')).toHaveLength(1);
    expect(violations("engine/a.ts", 'import { b } from "fastify";')).toHaveLength(1);
    expect(violations("core/a.ts", 'import { b } from "node:fs";')).toHaveLength(1);
    expect(violations("storage/sql/a.ts", 'import { b } from "../disk/b.ts";')).toHaveLength(1);
    expect(violations("cli/list.ts", 'import { b } from "../main.ts";')).toHaveLength(1);
    expect(violations("cli/serve.ts", 'import { b } from "../main.ts";')).toEqual([]);
    expect(violations("engine/a.ts", 'import { b } from "../core/b.ts";')).toEqual([]);
    expect(violations("engine/a.ts", 'import { b } from "node:fs";')).toEqual([]);
    expect(violations("http/a.ts", 'import { b } from "@fastify/multipart";')).toEqual([]);
  });
});

describe("the lint rules", () => {
  let tree: string;

  beforeAll(async () => {
    tree = await mkdtemp(path.join(tmpdir(), "offpeak-layers-"));
    const config = JSON.parse(await readFile(path.join(repository, ".oxlintrc.json"), "utf8"));
    config.options.typeAware = false;
    await writeFile(path.join(tree, ".oxlintrc.json"), JSON.stringify(config));
  });

  afterAll(() => rm(tree, { recursive: true, force: true }));

  /** Writes one file per entry, one statement per line, and lints them: `file: statement` of each refused import. */
  async function refused(samples: Readonly<Record<string, readonly string[]>>): Promise<string[]> {
    for (const [file, statements] of Object.entries(samples)) {
      const full = path.join(tree, "src", file);
      await mkdir(path.dirname(full), { recursive: true });
      await writeFile(full, statements.join("\n"));
    }
    const oxlint = path.join(repository, "node_modules/oxlint/bin/oxlint");
    const files = Object.keys(samples).map((file) => `src/${file}`);
    const { stdout } = await run(process.execPath, [oxlint, "--format=json", ...files], {
      cwd: tree,
      maxBuffer: 64 * 1024 * 1024,
    }).catch((error: { stdout: string }) => error);
    const report: {
      diagnostics: { code: string; filename: string; labels: { span: { line: number } }[] }[];
    } = JSON.parse(stdout);
    return report.diagnostics
      .filter(({ code }) => code === "eslint(no-restricted-imports)")
      .map(({ filename, labels }) => {
        const file = filename.replaceAll(path.sep, "/").replace(/^src\//, "");
        return `${file}: ${samples[file]![labels[0]!.span.line - 1]}`;
      })
      .toSorted();
  }

  it("draw the lines of the table, between every two layers", async () => {
    const layers = Object.keys(table);
    const files = [
      "main.ts",
      ...layers.flatMap((layer) => [`${layer}/sample.ts`, `${layer}/deeper/sample.ts`]),
      ...Object.values(table).flatMap((layer) => Object.keys(layer.exceptions ?? {})),
    ];
    const samples: Record<string, string[]> = {};
    const expected: string[] = [];
    for (const file of files) {
      const statements = [...layers, "main"]
        .filter((target) => target !== layerOf(file))
        .map((target) => {
          const imported = target === "main" ? "main.ts" : `${target}/any.ts`;
          const relative = path.posix.relative(path.posix.dirname(file), imported);
          return `import "${relative.startsWith(".") ? relative : `./${relative}`}";`;
        });
      samples[file] = statements;
      expected.push(
        ...statements
          .filter((statement) => violations(file, statement).length > 0)
          .map((statement) => `${file}: ${statement}`),
      );
    }
    expect(expected.length).toBeGreaterThan(layers.length * 10);
    expect(await refused(samples)).toEqual(expected.toSorted());
  });

  it("hold for every form of import", async () => {
    const statements = [
      'import { a } from "../http/a.ts";',
      'import type { B } from "../http/b.ts";',
      'export { c } from "../http/c.ts";',
      'export * from "../http/d.ts";',
      'await import("../http/e.ts");',
    ];
    expect(await refused({ "engine/forms.ts": statements })).toEqual(
      statements.map((statement) => `engine/forms.ts: ${statement}`).toSorted(),
    );
  });

  it("keep packages out of core and the services, and node: out of core", async () => {
    const statements = [
      'import "undici";',
      'import "@fastify/static";',
      'import "node:fs/promises";',
    ];
    const unequipped = [
      "batches",
      "engine",
      "files",
      "gateway",
      "lanes",
      "nodes",
      "projects",
      "uploads",
      "workers",
    ];
    const files = ["core", ...unequipped].map((layer) => `${layer}/packages.ts`);
    const expected = files.flatMap((file) =>
      statements
        .filter((statement) => violations(file, statement).length > 0)
        .map((statement) => `${file}: ${statement}`),
    );
    expect(expected).toHaveLength(3 + 2 * unequipped.length);
    expect(await refused(Object.fromEntries(files.map((file) => [file, statements])))).toEqual(
      expected.toSorted(),
    );
  });
});
