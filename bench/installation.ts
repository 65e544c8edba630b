// Offpeak as users get it: the sources built into a package of its own, so that nothing which is edited
// or built meanwhile touches a measurement, and its command with the flags of its first line.

import { cp, mkdir, readFile, symlink } from "node:fs/promises";
import path from "node:path";
import { outputOf } from "./processes.ts";

const repository = path.resolve(import.meta.dirname, "..");

/** Builds and installs into the directory; answers the command `offpeak`. */
export async function install(directory: string): Promise<string[]> {
  await mkdir(directory);
  const bundler = path.join(repository, "node_modules/rolldown/bin/cli.mjs");
  const config = path.join(repository, "rolldown.config.ts");
  const outDir = path.join(directory, "dist");
  await outputOf([process.execPath, bundler, "-c", config, "-d", outDir]);
  for (const part of ["bin", "package.json"]) {
    await cp(path.join(repository, part), path.join(directory, part), { recursive: true });
  }
  await symlink(path.join(repository, "node_modules"), path.join(directory, "node_modules"));

  const script = path.join(directory, "bin/offpeak.js");
  const [firstLine = ""] = (await readFile(script, "utf8")).split("\n");
  const flags = firstLine.split(" ").filter((word) => word.startsWith("--"));
  return [process.execPath, ...flags, script];
}
