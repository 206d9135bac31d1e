import { defineConfig } from "vitest/config";

const kind = (
  name: string,
  timeout: number,
  more: { maxWorkers: number; isolate?: boolean; setupFiles?: string[] },
) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: timeout, hookTimeout: 60_000, ...more },
});

const nodes = { setupFiles: ["test/executable/setup.ts"] };

// The kinds of test; all but `unit`, `engine` and `fuzz` need test/runner/isolated, `uml` test/runner/uml, too, all but
// `unit` and `kernel` what `make build` makes. Tests run on their process's main thread ("forks"): a network namespace
// belongs to a thread. A file has a process of its own, but where there are many or all is slow: to start and to load
// the same modules again would take a tenth of the time, and most of what lasts is in processes and namespaces.
export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    pool: "forks",
    isolate: true,
    allowOnly: !process.env.CI,
    passWithNoTests: true,
    chaiConfig: { truncateThreshold: 2000 }, // values whole in messages: of a run elsewhere they are all that is seen
    projects: [
      kind("unit", 20_000, { maxWorkers: 2 }),
      kind("kernel", 20_000, { maxWorkers: 2, setupFiles: ["test/harness/engine-setup.ts"] }),
      kind("engine", 120_000, { maxWorkers: 2 }),
      kind("executable", 60_000, { maxWorkers: 3, isolate: false, ...nodes }),
      kind("runtime", 120_000, { maxWorkers: 1, ...nodes }),
      kind("fault", 120_000, { maxWorkers: 1, ...nodes }),
      kind("fuzz", 120_000, { maxWorkers: 1 }),
      kind("uml", 120_000, { maxWorkers: 1, isolate: false, ...nodes }),
    ],
  },
});
