import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "../..");

/** The executable under test, as `make build` leaves it. */
export const executable = join(root, "dist/podwire");
export const confFolder = join(root, "conf");

/**
 * The newest reference plugins on this machine, and whether they are v1.9.1: Debian's v1.1.1 knows no 1.1.0, GC, STATUS
 * or nftables.
 */
export const reference = findReference();

function findReference(): { folder: string; newest: boolean } {
  const built = process.env.PODWIRE_REFERENCE ?? join(root, ".cache/reference/v1.9.1");
  const folder = existsSync(join(built, "bridge")) ? built : "/usr/lib/cni";
  const { stdout } = spawnSync(join(folder, "bridge"), {
    env: { CNI_COMMAND: "VERSION" },
    input: "{}",
    encoding: "utf8",
  });
  return { folder, newest: stdout?.includes('"1.1.0"') === true };
}

/** A fresh folder on the private /run. */
export function temporaryFolder(name: string): string {
  mkdirSync("/run/podwire-test", { recursive: true });
  return mkdtempSync(`/run/podwire-test/${name}-`);
}

/**
 * Refuses to go on outside the private namespaces of test/runner/isolated: what follows changes links, routes and
 * rules.
 */
export function requireIsolation(): void {
  if (process.env.PODWIRE_ISOLATED === "1") return;
  throw new Error(
    "these tests change the network: run them by `make test ONLY=<file>` or through test/runner/isolated",
  );
}
