import { messageOf } from "../cni/error.ts";

/** What an ADD made, in order, so that a step that fails can take it all back. */
export class Undo {
  private readonly steps: { what: string; run: () => void }[] = [];

  /** Registers how to take back what was just made; call it on the line that makes it. */
  push(what: string, run: () => void): void {
    this.steps.push({ what, run });
  }

  /**
   * Takes everything back, last made first, carrying on after failures; returns what could not be taken back, in words.
   */
  run(): string[] {
    const failures: string[] = [];
    for (const { what, run } of this.steps.splice(0).reverse()) {
      try {
        run();
      } catch (error) {
        failures.push(`${what}: ${messageOf(error)}`);
      }
    }
    return failures;
  }
}
