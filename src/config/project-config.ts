// What projects may have: `project_limits` for all of them, and `projects.NAME` for one, which
// inherits what it leaves out.
import {
  type ProjectLimits,
  defaultProjectLimits,
  isProjectName,
  windowSeconds,
} from "../core/project.ts";
import { refuse } from "./config-error.ts";
import { type Kind, wholeNumber } from "./setting.ts";
import { type Mapping, asMapping, refuseUnknownKeys } from "./yaml-file.ts";

export interface ProjectsConfig {
  /** Of every project that `projects` does not name. */
  projectLimits: ProjectLimits;
  projects: Readonly<Record<string, ProjectLimits>>;
}

const numbers = {
  stored_bytes: "storedBytes",
  batches_per_hour: "batchesPerHour",
  queued_lines: "queuedLines",
  queued_prompt_tokens: "queuedPromptTokens",
} as const;
const WINDOWS = "completion_windows";
const limitNumber: Kind<number> = wholeNumber(1);

/** Reads both. Throws ConfigError. */
export function readProjects(
  place: (path: readonly string[]) => string,
  root: Mapping,
): ProjectsConfig {
  const limitsPlace = place(["project_limits"]);
  const projectLimits = readLimits(limitsPlace, root["project_limits"], defaultProjectLimits);
  const projectsPlace = place(["projects"]);
  const entries = Object.entries(asMapping(projectsPlace, root["projects"] ?? {}));
  const projects = entries.map(([name, value]): [string, ProjectLimits] => {
    if (!isProjectName(name)) {
      refuse(projectsPlace, "names of letters, digits and . _ - (at most 64)", name);
    }
    return [name, readLimits(`${projectsPlace}.${name}`, value, projectLimits)];
  });
  return { projectLimits, projects: Object.fromEntries(projects) };
}

/** The limits of one project. */
export function projectLimitsOf(
  { projectLimits, projects }: ProjectsConfig,
  projectId: string,
): ProjectLimits {
  return Object.hasOwn(projects, projectId) ? projects[projectId]! : projectLimits;
}

function readLimits(place: string, value: unknown, inherited: ProjectLimits): ProjectLimits {
  if (value === undefined) return inherited;
  const mapping = asMapping(place, value);
  refuseUnknownKeys(place, mapping, [...Object.keys(numbers), WINDOWS]);
  const limits = { ...inherited };
  for (const [key, name] of Object.entries(numbers)) {
    const given = mapping[key];
    // null in a project's entry takes an inherited limit away.
    if (given === null) limits[name] = null;
    else if (given !== undefined) {
      const { expected } = limitNumber;
      limits[name] =
        limitNumber.fromYaml(given) ??
        refuse(`${place}.${key}`, `${expected}, or null for no limit`, given);
    }
  }
  if (mapping[WINDOWS] !== undefined) {
    limits.completionWindows = readWindows(`${place}.${WINDOWS}`, mapping[WINDOWS]);
  }
  return limits;
}

function readWindows(place: string, value: unknown): string[] {
  const isList = Array.isArray(value) && value.length > 0;
  if (!isList) return refuse(place, "a list of windows such as [24h, 1h]", value);
  return value.map((item: unknown, index) =>
    typeof item === "string" && windowSeconds(item) !== undefined
      ? item
      : refuse(`${place}[${index}]`, "a window such as 30m, 24h or 7d, at most 30d", item),
  );
}
