import { defineConfig } from "vitest/config";

const kind = (
  name: string,
  timeout: number,
  more: { maxWorkers: number; isolate?: boolean; setupFiles?: string[] },
) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: timeout, hookTimeout: 900_000, ...more },
});

const nodes = { setupFiles: ["test/executable/setup.ts"] };

// Files that run at the same time must not meet in the folders podwire has when it is told of no others: each process
// that runs tests has its own.
if (process.env.PODWIRE_ISOLATED) process.execPath = new URL("runner/worker", import.meta.url).pathname;

// The kinds of test; all but `unit`, `engine` and `fuzz` need test/runner/isolated, `uml` test/runner/uml, too, all but
// `unit` and `kernel` what `make build` makes. Tests run on their process's main thread ("forks"): a network namespace
// belongs to a thread. A file has a process of its own, but where there are many or all is slow: to start and to load
// the same modules again would take a tenth of the time, and most of what lasts is in processes and namespaces. Times
// end what hangs, on a machine that is many times busier than this one too: what takes long is no failure.
export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    pool: "forks",
    isolate: true,
    allowOnly: !process.env.CI,
    passWithNoTests: true,
    expect: { poll: { interval: 20, timeout: 60_000 } },
    chaiConfig: { truncateThreshold: 2000 }, // values whole in messages: of a run elsewhere they are all that is seen
    projects: [
      kind("unit", 60_000, { maxWorkers: 2 }),
      kind("kernel", 60_000, { maxWorkers: 2, setupFiles: ["test/harness/engine-setup.ts"] }),
      kind("engine", 900_000, { maxWorkers: 2 }),
      kind("executable", 300_000, { maxWorkers: 3, isolate: false, ...nodes }),
      kind("runtime", 300_000, { maxWorkers: 1, ...nodes }),
      kind("fault", 900_000, { maxWorkers: 1, ...nodes }),
      kind("fuzz", 900_000, { maxWorkers: 1 }),
      kind("uml", 300_000, { maxWorkers: 1, isolate: false, ...nodes }),
    ],
  },
});
