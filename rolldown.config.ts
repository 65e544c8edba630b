// Builds the published package: the command and the programs of its threads and workers, with all they import, in a
// few files. Loading them takes half as long as loading some 1,600 modules, and 8 MB less memory.

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { defineConfig, type Plugin } from "rolldown";

/** Whose code is in the files, under which terms: what these licenses ask of who passes code on. */
function thirdPartyLicenses(): Plugin {
  return {
    name: "third-party-licenses",
    generateBundle(_options, bundle) {
      const modules = Object.values(bundle).flatMap((file) =>
        file.type === "chunk" ? file.moduleIds : [],
      );
      const folders = new Set(modules.flatMap((id) => packageFolder(id) ?? []));
      const texts = [...folders].sort().map(licenseOf);
      this.emitFile({
        type: "asset",
        fileName: "THIRD-PARTY-LICENSES.txt",
        source: texts.join(`\n${"-".repeat(80)}\n\n`),
      });
    },
  };
}

/** The innermost package that the module belongs to; undefined for a module of our own. */
function packageFolder(moduleId: string): string | undefined {
  return /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(moduleId)?.[0];
}

function licenseOf(folder: string): string {
  const text = readFileSync(path.join(folder, "package.json"), "utf8");
  const { name, version, license } = JSON.parse(text) as Record<string, string>;
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const terms = file ? readFileSync(path.join(folder, file), "utf8") : "";
  return `${name} ${version} (${license})\n\n${terms.trim()}\n`;
}

export default defineConfig({
  platform: "node",
  input: {
    offpeak: "src/cli/offpeak.ts",
    "planning-worker": "src/engine/planning-worker.ts",
    "worker-main": "src/workers/worker-main.ts",
  },
  // Flat: threads and workers are found beside the file that starts them.
  output: {
    dir: "dist",
    entryFileNames: "[name].js",
    chunkFileNames: "chunk-[name].js",
    cleanDir: true,
  },
  plugins: [thirdPartyLicenses()],
});
