import { CniError, Code } from "../../cni/error.ts";
import { readText } from "../../kernel/file.ts";
import { exists } from "../../kernel/linux.ts";
import { nfproto } from "../../netlink/nftables/match.ts";
import type { Table } from "../../netlink/nftables/object.ts";
import type { Family } from "../../net/ip.ts";
import { withIptablesLock } from "./iptables-lock.ts";
import { findTool, getTool, runTool, type ToolOutcome } from "./tool.ts";

/** The tools of each family, in the order of use: read everything in one call, change everything in one call. */
const tools = {
  4: { save: "iptables-save", restore: "iptables-restore" },
  6: { save: "ip6tables-save", restore: "ip6tables-restore" },
} as const;

/** A change that meets somebody else's is planned again this often. */
const ATTEMPTS = 5;

/**
 * The rules of table nat as iptables-save prints them, by chain: those of the kernel's own chains and of CNI plugins.
 * Any other chain has an empty list: kube-proxy's are ten thousand.
 */
export type NatTable = Map<string, string[]>;

const NEEDED_BY = "the iptables backend";

/** True when the family's tools are on this node. */
export const hasIptables = (family: Family): boolean =>
  findTool(tools[family].save) !== undefined && findTool(tools[family].restore) !== undefined;

/** Table nat as today's iptables keeps it, where netlink sees it. */
export const natTable = (family: Family): Table => ({ family: nfproto(family), name: "nat" });

/** The old iptables keeps its tables where netlink does not see them; a file names those in use. */
export function hasLegacyNat(family: Family): boolean {
  const path = `/proc/net/${family === 4 ? "ip" : "ip6"}_tables_names`;
  return exists(path) && readText(path).split("\n").includes("nat");
}

const run = (tool: string, args: string[], input = ""): ToolOutcome => runTool(getTool(tool, NEEDED_BY), args, input);

/**
 * Fails, naming the tool, when one of the families' tools is missing or table nat cannot be used with it. Changes
 * nothing.
 */
export function assertIptables(families: readonly Family[], code: number = Code.Internal): void {
  try {
    for (const family of families) {
      getTool(tools[family].save, NEEDED_BY);
      const { ok, errors } = run(tools[family].restore, ["--noflush", "--wait", "--test"], "*nat\nCOMMIT\n");
      if (!ok) throw new CniError(code, `${tools[family].restore} cannot use table nat: ${errors}`);
    }
  } catch (error) {
    throw error instanceof CniError && error.code === Code.Internal ? new CniError(code, error.message) : error;
  }
}

/** Table nat of a family. */
export function readNat(family: Family): NatTable {
  const tool = tools[family].save;
  const { ok, output, errors } = run(tool, ["-t", "nat"]);
  if (!ok) throw new CniError(Code.Internal, `${tool} -t nat failed: ${errors}`);
  const chains: NatTable = new Map();
  for (const line of output.split("\n")) {
    const start = line.startsWith("-A ") ? "-A ".length : line.startsWith(":") ? ":".length : undefined;
    if (start === undefined) continue;
    const end = line.indexOf(" ", start);
    const chain = line.slice(start, end);
    if (start === ":".length) chains.set(chain, []);
    else if (!chain.includes("-") || chain.startsWith("CNI-")) chains.get(chain)!.push(line.slice(end + 1));
  }
  return chains;
}

/** Runs the lines on table nat, all or nothing; returns what iptables-restore complained about, "" when it did not. */
export function tryRestoreNat(family: Family, lines: readonly string[]): string {
  const { ok, errors } = run(tools[family].restore, ["--noflush", "--wait"], `*nat\n${lines.join("\n")}\nCOMMIT\n`);
  return ok ? "" : errors || "it failed without a word";
}

/**
 * Plans lines from table nat as it is and runs them; planned again when somebody else changed it in between. No lines,
 * no run.
 */
export const changeNat = (family: Family, plan: (nat: NatTable) => string[]): void =>
  withIptablesLock(() => planAndRun(family, plan));

function planAndRun(family: Family, plan: (nat: NatTable) => string[]): void {
  for (let attempt = 1; ; attempt++) {
    const lines = plan(readNat(family));
    const errors = lines.length === 0 ? "" : tryRestoreNat(family, lines);
    if (errors === "") return;
    if (attempt === ATTEMPTS) throw new CniError(Code.Internal, `${tools[family].restore} failed: ${errors}`);
  }
}

/** A comment match as iptables-save prints it (quotes escaped, at most 255 bytes), so that lines can be compared. */
export const commentMatch = (comment: string): string =>
  `-m comment --comment "${comment.slice(0, 255).replaceAll(/["'\\]/g, "\\$&")}"`;

/** Lines that make `chain` hold exactly these rules: declaring a chain of one's own empties it. */
export const replaceChain = (chain: string, rules: readonly string[]): string[] => [
  `:${chain} - [0:0]`,
  ...rules.map((rule) => `-A ${chain} ${rule}`),
];

/** Lines that delete the chain; nothing may jump to it any more. */
export const dropChain = (chain: string): string[] => [`-F ${chain}`, `-X ${chain}`];
