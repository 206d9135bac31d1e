import { CniError, Code, codeFor, messageOf } from "../cni/error.ts";

export type Attempt = ReturnType<typeof attempt>;

/**
 * DEL and GC do as much as they can: every step is tried, and what failed is thrown at the end as one error (with the
 * first one's code).
 */
export function attempt(verb: string) {
  const failures: unknown[] = [];
  return {
    try<T>(step: () => T): T | undefined {
      try {
        return step();
      } catch (error) {
        failures.push(error);
        return undefined;
      }
    },
    messages: (): string[] => failures.map(messageOf),
    throwIfAny(): void {
      const [first, ...others] = failures;
      if (first === undefined) return;
      if (others.length === 0) throw first;
      const code = first instanceof CniError ? first.code : codeFor(first, Code.Internal);
      throw new CniError(code, `${verb}: ${failures.length} steps failed: ${failures.map(messageOf).join("; ")}`);
    },
  };
}
