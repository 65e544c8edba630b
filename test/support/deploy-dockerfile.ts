// Reads the Dockerfile and its ignore file, as far as ours go: comments, continued lines, flags, stages, arguments
// before the first stage.

export interface Instruction {
  /** In capitals, such as RUN. */
  keyword: string;
  /** Such as `--from=build`, as they are written. */
  flags: readonly string[];
  /** What comes after the flags. */
  rest: string;
}

export interface Stage {
  /** With the arguments filled in. */
  image: string;
  /** Undefined for the last one. */
  name: string | undefined;
  steps: readonly Instruction[];
}

export function readStages(text: string): Stage[] {
  const globals = new Map<string, string>();
  const stages: (Stage & { steps: Instruction[] })[] = [];
  for (const instruction of readInstructions(text)) {
    const { keyword, rest } = instruction;
    if (keyword === "FROM") {
      const [image = "", , name] = rest.split(/\s+/);
      stages.push({ image: fill(image, globals), name, steps: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage) stage.steps.push(instruction);
    else globals.set(...pair(rest));
  }
  return stages;
}

function readInstructions(text: string): Instruction[] {
  const lines = text.split("\n").filter((line) => !/^\s*#/.test(line));
  const logical = lines.join("\n").replaceAll(/\\\n/g, " ").split("\n");
  return logical
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, keyword = "", flags = "", rest = ""] =
        /^([A-Z]+)\s+((?:--\S+\s+)*)(.*)$/.exec(line.trim()) ?? [];
      if (keyword === "") throw new Error(`not an instruction: ${line}`);
      return { keyword, flags: flags.split(/\s+/).filter(Boolean), rest: rest.trim() };
    });
}

function fill(text: string, values: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => values.get(name) ?? "");
}

/** `A=1 B="two words"` as pairs. */
export function pairs(text: string): [string, string][] {
  return [...text.matchAll(/[^\s=]+=(?:"[^"]*"|\S*)/g)].map(([item]) => pair(item));
}

function pair(text: string): [string, string] {
  const [, name = "", value = ""] = /^([^=]+)=(.*)$/.exec(text) ?? [];
  return [name, value.replaceAll(/^"|"$/g, "")];
}

/** Whether the ignore file keeps a path of the repository away from the build: its last line that matches says so. */
export function ignoring(text: string): (path: string) => boolean {
  const rules = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => ({
      pattern: patternOf(line.replace(/^!/, "")),
      ignores: !line.startsWith("!"),
    }));
  return (path) => {
    const parts = path.split("/");
    // A rule that matches a folder is meant for all in it.
    const above = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
    const last = rules.findLast(({ pattern }) => above.some((name) => pattern.test(name)));
    return last?.ignores ?? false;
  };
}

function patternOf(line: string): RegExp {
  const source = line
    .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll(/\*\*\/|\*\*|\*/g, (star) =>
      star === "**/" ? "(?:.*/)?" : star === "**" ? ".*" : "[^/]*",
    );
  return new RegExp(`^${source}$`);
}
