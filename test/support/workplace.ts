// A folder for one test: input files, configuration, data directories. It is gone when the test ends.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Workplace extends Disposable {
  /** A path in the folder. */
  path(name: string): string;
}

export function openWorkplace(): Workplace {
  const folder = mkdtempSync(join(tmpdir(), "offpeak-test-"));
  return {
    path: (name) => join(folder, name),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }),
  };
}
