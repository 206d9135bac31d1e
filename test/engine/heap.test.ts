import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../harness/paths.ts";

/** Runs the engine's own tests in Rust (heap_tests.rs, hot.rs) and returns what cargo said. */
const cargoTest = (args: string[], env: Record<string, string> = {}): string =>
  execFileSync("cargo", ["test", "--quiet", "--locked", ...args], {
    cwd: join(root, "src/engine"),
    encoding: "utf8",
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });

describe("the allocator", () => {
  test("keeps its promises", () => {
    expect(cargoTest([], { CARGO_TARGET_DIR: join(root, ".cache/engine-test") })).toMatch(/ok\. \d+ passed; 0 failed/);
  });

  test("touches no memory that is not its own, under AddressSanitizer", () => {
    const target = `${process.arch === "arm64" ? "aarch64" : "x86_64"}-unknown-linux-gnu`;
    const said = cargoTest(["--features", "asan", "--target", target], {
      CARGO_TARGET_DIR: join(root, ".cache/engine-asan-test"),
      RUSTC_BOOTSTRAP: "1",
      RUSTFLAGS: "-Zsanitizer=address",
      ASAN_OPTIONS: "detect_leaks=0", // what the heap asked from the kernel it keeps
    });
    expect(said).toMatch(/ok\. \d+ passed; 0 failed/);
  });
});
