// Ends a test run with one plain line, `N passed, N failed`, for people and for continuous integration.
// Everything that went wrong counts as failed: tests, files that did not load, failing hooks,
// unhandled errors, and whatever else made the run exit with an error. So `0 failed` always means exit code 0.
import type { Reporter, TestModule } from "vitest/node";

export class TotalsReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped = 0;

  onInit(): void {
    process.once("exit", (exitCode) => {
      process.stdout.write(`${this.#line(exitCode)}\n`);
    });
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    this.#passed = 0;
    this.#skipped = 0;
    this.#failed = unhandledErrors.length;
    for (const module of modules) {
      this.#failed += module.errors().length;
      for (const suite of module.children.allSuites()) this.#failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") this.#passed += 1;
        else if (state === "skipped") this.#skipped += 1;
        else this.#failed += 1;
      }
    }
  }

  #line(exitCode: number): string {
    const failed = exitCode === 0 ? this.#failed : Math.max(this.#failed, 1);
    const skipped = this.#skipped === 0 ? "" : `, ${this.#skipped} skipped`;
    return `${this.#passed} passed, ${failed} failed${skipped}`;
  }
}
