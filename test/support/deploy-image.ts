// Follows the steps of the Dockerfile without Docker: every stage is a folder that stands for the root of its file
// system, COPY copies what the ignore file lets through, RUN runs with the absolute paths moved into that folder. Only
// what `npm ci` would install is taken from this checkout, after npm has agreed that it could.
import { execFile } from "node:child_process";
import {
  constants,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { type Instruction, type Stage, ignoring, pairs, readStages } from "./deploy-dockerfile.ts";

const run = promisify(execFile);
export const repository = path.resolve(import.meta.dirname, "../..");
export const isRoot = process.getuid?.() === 0;

export function readDeployFile(name: string): string {
  return readFileSync(path.join(repository, "deploy", name), "utf8");
}

/** What a container of the image is started with. Paths are those in the image. */
export interface Image {
  /** The folder that stands for its root. */
  root: string;
  baseImage: string;
  env: Record<string, string>;
  labels: Record<string, string>;
  workingDirectory: string;
  volumes: string[];
  user: string;
  ports: number[];
  stopSignal: string;
  entrypoint: string[];
  command: string[];
  healthCheck: string[];
}

/** Where a path of the stage is on this machine. */
export function inside(root: string, place: string): string {
  return path.join(root, place);
}

/** Builds all stages below `folder`; the last one is the image. Throws when a step fails. */
export async function buildImage(folder: string): Promise<Image> {
  const isIgnored = ignoring(readDeployFile("Dockerfile.dockerignore"));
  const roots = new Map<string, string>();
  let image: Image | undefined;
  for (const [index, stage] of readStages(readDeployFile("Dockerfile")).entries()) {
    const root = path.join(folder, stage.name ?? `stage-${index}`);
    mkdirSync(root);
    image = await buildStage(stage, { root, roots, isIgnored });
    if (stage.name !== undefined) roots.set(stage.name, root);
  }
  if (!image) throw new Error("the Dockerfile has no stage");
  return image;
}

interface Surroundings {
  root: string;
  /** Of the stages before, by name. */
  roots: ReadonlyMap<string, string>;
  isIgnored: (path: string) => boolean;
}

async function buildStage(stage: Stage, surroundings: Surroundings): Promise<Image> {
  const { root } = surroundings;
  const image: Image = {
    root,
    baseImage: stage.image,
    env: {},
    labels: {},
    workingDirectory: "/",
    volumes: [],
    user: "",
    ports: [],
    stopSignal: "",
    entrypoint: [],
    command: [],
    healthCheck: [],
  };
  // What the base image has, of which the command needs to find it.
  mkdirSync(inside(root, "/usr/local/bin"), { recursive: true });
  copyFileSync(process.execPath, inside(root, "/usr/local/bin/node"), constants.COPYFILE_FICLONE);
  for (const step of stage.steps) await follow(step, image, surroundings);
  return image;
}

async function follow(step: Instruction, image: Image, surroundings: Surroundings): Promise<void> {
  const { keyword, rest } = step;
  const list = () => JSON.parse(rest.replace(/^CMD /, "")) as string[];
  switch (keyword) {
    case "WORKDIR":
      image.workingDirectory = rest;
      mkdirSync(inside(image.root, rest), { recursive: true });
      return;
    case "COPY":
      copy(step, image, surroundings);
      return;
    case "RUN":
      await runStep(step, image, surroundings);
      return;
    case "ENV":
      Object.assign(image.env, Object.fromEntries(pairs(rest)));
      return;
    case "LABEL":
      Object.assign(image.labels, Object.fromEntries(pairs(rest)));
      return;
    case "VOLUME":
      image.volumes = list();
      return;
    case "USER":
      image.user = rest;
      return;
    case "EXPOSE":
      image.ports.push(Number(rest));
      return;
    case "STOPSIGNAL":
      image.stopSignal = rest;
      return;
    case "ENTRYPOINT":
      image.entrypoint = list();
      return;
    case "CMD":
      image.command = list();
      return;
    case "HEALTHCHECK":
      image.healthCheck = list();
      return;
    default:
      throw new Error(`the Dockerfile has an instruction that this test can't follow: ${keyword}`);
  }
}

function copy({ flags, rest }: Instruction, image: Image, { isIgnored }: Surroundings): void {
  if (flags.length > 0) throw new Error(`this test can't follow COPY ${flags.join(" ")}`);
  const names = rest.split(/\s+/);
  const target = names.pop() ?? "";
  for (const name of names) {
    const source = path.join(repository, name);
    if (!existsSync(source)) throw new Error(`COPY ${name}: there is no such file`);
    const isFolder = statSync(source).isDirectory();
    if (!isFolder && isIgnored(name))
      throw new Error(`COPY ${name}: Dockerfile.dockerignore excludes it`);
    const place = path.resolve("/", image.workingDirectory, target);
    const into =
      isFolder || !/\/$|^\.$/.test(target) ? place : path.join(place, path.basename(name));
    cpSync(source, inside(image.root, into), {
      recursive: true,
      filter: (from) => statSync(from).isDirectory() || !isIgnored(path.relative(repository, from)),
    });
  }
}

async function runStep({ flags, rest }: Instruction, image: Image, around: Surroundings) {
  for (const flag of flags) mount(flag, image.root, around.roots);
  const cwd = inside(image.root, image.workingDirectory);
  const isInstallation = /^npm ci\b/.test(rest);
  // Moves every absolute path; a file can be given to another user only by root.
  const moved = rest
    .replaceAll(/(?<=^|[\s=])\/(?=\w)/g, `${image.root}/`)
    .replace(/ -o \d+ -g \d+/, (owner) => (isRoot ? owner : ""));
  await run("sh", ["-ec", isInstallation ? `${moved} --dry-run --offline` : moved], {
    cwd,
    env: {
      ...process.env,
      npm_config_prefix: inside(image.root, "/usr/local"),
      npm_config_cache: inside(image.root, "/root/.npm"),
    },
  });
  if (isInstallation)
    symlinkSync(path.join(repository, "node_modules"), path.join(cwd, "node_modules"));
}

function mount(flag: string, root: string, roots: ReadonlyMap<string, string>): void {
  const options = new Map(pairs(flag.replace(/^--mount=/, "").replaceAll(",", " ")));
  if (options.get("type") === "cache") return;
  const source = roots.get(options.get("from") ?? "");
  const target = inside(root, options.get("target") ?? "");
  if (options.get("type") !== "bind" || source === undefined) {
    throw new Error(`this test can't follow RUN ${flag}`);
  }
  mkdirSync(path.dirname(target), { recursive: true });
  symlinkSync(inside(source, options.get("source") ?? ""), target);
}
