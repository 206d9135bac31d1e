import { defineConfig } from "vitest/config";

const kind = (name: string, timeout: number, more: { maxWorkers: number; setupFiles?: string[] }) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: timeout, hookTimeout: 60_000, ...more },
});

// The kinds of test; all but `unit`, `engine` and `fuzz` need test/runner/isolated, `uml` test/runner/uml, too, all but
// `unit` and `kernel` what `make build` makes. A file has a process of its own ("forks", isolated), and its tests run
// on that process's main thread: a network namespace belongs to a thread.
export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    pool: "forks",
    isolate: true,
    allowOnly: !process.env.CI,
    passWithNoTests: true,
    projects: [
      kind("unit", 20_000, { maxWorkers: 2 }),
      kind("kernel", 20_000, { maxWorkers: 2, setupFiles: ["test/harness/engine-setup.ts"] }),
      kind("engine", 120_000, { maxWorkers: 2 }),
      kind("executable", 60_000, { maxWorkers: 3 }),
      kind("runtime", 120_000, { maxWorkers: 1 }),
      kind("fault", 120_000, { maxWorkers: 1 }),
      kind("fuzz", 120_000, { maxWorkers: 1 }),
      kind("uml", 120_000, { maxWorkers: 1 }),
    ],
  },
});
