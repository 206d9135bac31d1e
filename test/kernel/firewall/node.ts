import { execFileSync, spawnSync } from "node:child_process";
import { CLONE_NEWNET, close, O, open, setns } from "../../../src/kernel/linux.ts";
import { requireIsolation } from "../../harness/paths.ts";

// Every test file that imports this runs in a network namespace of its own, which stands for the node; pods and the
// outside are further ones.

/** The name of a namespace that belongs to this test file. */
export const ns = (name: string): string => `${name}-${process.pid}`;

requireIsolation();
execFileSync("ip", ["netns", "add", ns("node")]);
execFileSync("ip", ["-n", ns("node"), "link", "set", "lo", "up"]);
const fd = open(`/run/netns/${ns("node")}`, O.RDONLY);
setns(fd, CLONE_NEWNET);
close(fd);

/** Runs a shell script that must succeed and returns what it printed. */
export function sh(script: string): string {
  const options = { input: script, encoding: "utf8", maxBuffer: 64 << 20 } as const;
  const { status, signal, stdout, stderr } = spawnSync("sh", ["-es"], options);
  if (status !== 0) throw new Error(`${script}: exit ${status ?? signal}: ${stderr}`);
  return stdout;
}

/** True when the script ends well. */
export function succeeds(script: string): boolean {
  return spawnSync("sh", ["-es"], { input: script }).status === 0;
}

type Entry = Record<string, Record<string, unknown>>;

/** What `nft -j list ruleset` says of objects of one kind, without handles. */
export function nftObjects(kind: "table" | "chain" | "rule" | "map" | "set"): Record<string, unknown>[] {
  const { nftables } = JSON.parse(sh("nft -j list ruleset")) as { nftables: Entry[] };
  return nftables.flatMap((entry) => {
    if (!(kind in entry)) return [];
    const { handle: _handle, ...rest } = entry[kind]!;
    return [rest];
  });
}

/** The ruleset as text. */
export const ruleset = (): string => sh("nft --stateless list ruleset");

/**
 * The elements of a set or map as nft prints them, without handles; a commented element becomes `{ key, comment, value
 * }`.
 */
export function elements(name: string): { key: unknown; comment: string; value: unknown }[] {
  const set = [...nftObjects("map"), ...nftObjects("set")].find((each) => each.name === name);
  return ((set?.elem as unknown[]) ?? []).map((item) => {
    const [left, value] = Array.isArray(item) ? item : [item, undefined];
    const { val, comment } = (left as { elem?: { val: unknown; comment: string } }).elem ?? { val: left, comment: "" };
    return { key: val, comment, value };
  });
}
