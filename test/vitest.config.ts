import { defineConfig } from "vitest/config";

const kind = (name: string, timeout: number, maxWorkers: number) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: timeout, hookTimeout: 60_000, maxWorkers },
});

// The kinds of test; `kernel` needs Bun (bun:ffi), the last three need test/runner/isolated and the built executable.
export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    pool: "forks",
    allowOnly: !process.env.CI,
    passWithNoTests: true,
    projects: [
      kind("unit", 20_000, 2),
      kind("kernel", 20_000, 2),
      kind("executable", 60_000, 2),
      kind("runtime", 120_000, 1),
      kind("fault", 120_000, 1),
    ],
  },
});
