// Runs a command as a container of the image would be run with a read-only root: as the image's user, without
// capabilities, and able to write nothing but the image's volumes. That takes root and mount namespaces; where
// those are not to be had, the command runs as the user of the tests.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type Image, inside, isRoot } from "./deploy-image.ts";

/** Whether the commands really are confined. */
export const isConfined = isRoot && works("unshare", "--mount", "setpriv", "--version");

function works(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0;
}

/** Makes every mount read-only from which the image or the system is read, and the volumes writable. */
const CONFINE = `
volumes=$1; shift; root=$1; shift
for volume in $volumes; do mount --bind "$volume" "$volume"; done
for place in / "$(stat -c %m "$root")"; do mount -o remount,bind,ro "$place"; done
exec "$@"
`;

const words = (text: string) => text.split(" ");

export interface Ended {
  code: number | null;
  output: string;
}

export class Container {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #output = "";

  constructor(image: Image, command: readonly string[], env: Record<string, string> = {}) {
    const { root, volumes, user } = image;
    const [uid = "", gid = ""] = user.split(":");
    const places = volumes.map((volume) => inside(root, volume)).join(" ");
    const confinement = [
      ...words("unshare --mount --propagation=private sh -ec"),
      CONFINE,
      "sh",
      places,
      root,
      ...words(`setpriv --reuid=${uid} --regid=${gid} --clear-groups --no-new-privs`),
      ...words("--bounding-set=-all --inh-caps=-all"),
    ];
    const [program = "", ...args] = [...(isConfined ? confinement : []), ...command];
    this.child = spawn(program, args, {
      cwd: inside(root, image.workingDirectory),
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, so that nothing that it started outlives the test.
      detached: true,
      env: {
        PATH: `${inside(root, "/usr/local/bin")}:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin`,
        ...withVolumes(image),
        ...env,
      },
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => (this.#output += text));
    }
    this.ended = once(this.child, "close").then(([code]) => ({
      code: code as number | null,
      output: this.#output,
    }));
  }

  get output(): string {
    return this.#output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      process.kill(-this.child.pid!, "SIGKILL");
    } catch (error) {
      // There is nobody left.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    await this.ended;
  }
}

/** The image's variables, with its volumes where they are on this machine. */
function withVolumes({ env, root, volumes }: Image): Record<string, string> {
  const moved = Object.entries(env).map(([name, value]) => [
    name,
    volumes.includes(value) ? inside(root, value) : value,
  ]);
  return Object.fromEntries(moved) as Record<string, string>;
}
