import type { HostView } from "../host-view.ts";
import { CniError, Code } from "../../cni/error.ts";
import { findText } from "../../kernel/file.ts";
import { stat } from "../../kernel/linux.ts";
import { Nftables } from "../../kernel/nftables/nftables.ts";
import { nfproto } from "../../netlink/nftables/match.ts";
import type { Table } from "../../netlink/nftables/object.ts";
import type { Family } from "../../net/ip.ts";
import { whereUsable } from "./explained.ts";
import { withIptablesLock } from "./iptables-lock.ts";
import { ChainRules } from "./chain-rules.ts";
import { findTool, getTool, runTool, type ToolOutcome } from "./tool.ts";

/** The tables of iptables that podwire changes. */
export type TableName = "nat" | "filter";

/**
 * The tools of a family and flavour, as files, for a table: what reads all of it and what changes it. Today's iptables
 * keeps its rules in nftables, the old one (legacy) elsewhere; which of them the plain names stand for is the node's
 * affair.
 */
export interface Tools {
  family: Family;
  table: TableName;
  flavour: Flavour;
  save: string;
  restore: string;
}
type Flavour = "" | "-nft" | "-legacy";

/** A change that meets somebody else's is planned again this often. */
const ATTEMPTS = 5;
const NEEDED_BY = "the iptables backend";

const named = (family: Family, flavour: Flavour, does: "save" | "restore"): string =>
  `${family === 4 ? "iptables" : "ip6tables"}${flavour}-${does}`;

/** Undefined where one of both is not on this node. */
export function findTools(family: Family, table: TableName = "nat", flavour: Flavour = ""): Tools | undefined {
  const [save, restore] = [findTool(named(family, flavour, "save")), findTool(named(family, flavour, "restore"))];
  return save === undefined || restore === undefined ? undefined : { family, table, flavour, save, restore };
}

/** The tools by their plain names, those of the iptables backend; CniError where one is missing. */
export const getTools = (family: Family, table: TableName = "nat"): Tools => ({
  family,
  table,
  flavour: "",
  save: getTool(named(family, "", "save"), NEEDED_BY),
  restore: getTool(named(family, "", "restore"), NEEDED_BY),
});

/** A table as today's iptables keeps it, where netlink sees it. */
export const nftTable = (family: Family, name: TableName): Table => ({ family: nfproto(family), name });

/**
 * The old iptables keeps its tables where netlink does not see them; a file names those in use, to root: nobody else
 * could do anything about them.
 */
const hasLegacy = (family: Family, table: TableName): boolean =>
  (findText(`/proc/net/${family === 4 ? "ip" : "ip6"}_tables_names`) ?? "").split("\n").includes(table);

/** Looks by netlink whether there is anything in the table as today's iptables keeps it. */
export type Look = (nft: Nftables, table: Table) => boolean;

export const hasChain =
  (...names: string[]): Look =>
  (nft, table) =>
    names.some((name) => nft.findChain(table, name));
export const hasRules =
  (chain: string): Look =>
  (nft, table) =>
    nft.hasRules(table, chain);

/**
 * The tools for each place that may have something: for today's iptables where the `look` says so, for the old one,
 * unless not `old`, where its table is in use. None where there is nothing, or no tool: a node needs no iptables.
 */
export function filledTools(family: Family, look: Look, old = true, table: TableName = "nat"): Tools[] {
  const isFilled = whereUsable("look for iptables' chains", (nft) => look(nft, nftTable(family, table)));
  const of = (flavour: Flavour): Tools[] =>
    [findTools(family, table, flavour) ?? findTools(family, table) ?? []].flat();
  const [today, legacy] = [isFilled ? of("-nft") : [], old && hasLegacy(family, table) ? of("-legacy") : []];
  return [...today, ...legacy.filter(({ restore }) => !today.some((other) => other.restore === restore))];
}

/** As `filledTools`, but for the place the plain names stand for: what the iptables backend does not see. */
export const otherTools = (family: Family, look: Look): Tools[] =>
  filledTools(family, look).filter((tools) => !isPlain(tools));

/** By the file, which has several names; where that is a script, by what it says of itself. */
function isPlain({ family, table, flavour, restore }: Tools): boolean {
  const plain = getTools(family, table).restore;
  const [here, there] = [stat(plain), stat(restore)];
  if (here.inode === there.inode && here.device === there.device) return true;
  return (flavour === "-nft") === isNft(plain);
}

const isNft = (restore: string): boolean => run(restore, ["--version"]).output.includes("nf_tables");

const run = (tool: string, args: string[], input = ""): ToolOutcome => runTool(tool, args, input);

/** What the restore tool takes as a list of chains to print: one process for all of them, nothing is changed. */
const listing = (table: TableName, chains: readonly string[]): string =>
  `*${table}\n${chains.map((chain) => `-S ${chain}\n`).join("")}COMMIT\n`;

/**
 * Fails, naming the tool, when one of the families' tools is missing or the table cannot be used with it. Changes
 * nothing.
 */
export function assertIptables(
  families: readonly Family[],
  code: number = Code.Internal,
  table: TableName = "nat",
): void {
  const builtIn = { nat: "PREROUTING", filter: "FORWARD" }[table];
  try {
    for (const family of families) {
      const { restore } = getTools(family, table);
      if (run(restore, ["--noflush", "--wait"], listing(table, [builtIn])).ok) continue;
      const { ok, errors } = run(restore, ["--noflush", "--wait", "--test"], `*${table}\nCOMMIT\n`);
      if (!ok) throw new CniError(code, `${named(family, "", "restore")} cannot use table ${table}: ${errors}`);
    }
  } catch (error) {
    throw error instanceof CniError && error.code === Code.Internal ? new CniError(code, error.message) : error;
  }
}

/**
 * The table as the tools see it. Asked chain by chain where it is in nftables: kube-proxy's chains are ten thousand,
 * and to print them all takes half a second.
 */
export const readTable = (tools: Tools): ChainRules =>
  new ChainRules({
    whole: () => {
      const { ok, output, errors } = run(tools.save, ["-t", tools.table]);
      if (!ok) throw new CniError(Code.Internal, `${tools.save} -t ${tools.table} failed: ${errors}`);
      return output;
    },
    ...(isInNftables(tools) && { some: (chains) => printed(tools, chains) }),
  });

/** As `readTable`, to compare: whole, and once, for who looks at all attachments of a node in turn. */
export function seenTable(tools: Tools, view: HostView | undefined): ChainRules {
  if (!view) return readTable(tools);
  const key = `${tools.save} ${tools.table}`;
  const known = view.tables.get(key);
  if (known) return known;
  const table = readTable(tools);
  table.all();
  view.tables.set(key, table);
  return table;
}

/**
 * Where the old table is not in use it does not matter which of both plain names stand for: a chain that is not in
 * nftables is nowhere, and one that is there and unknown to the tool makes the listing fail.
 */
const isInNftables = ({ family, table, flavour, restore }: Tools): boolean =>
  flavour === "-nft" || (flavour === "" && (!hasLegacy(family, table) || isNft(restore)));

/** The lines of those of the chains that exist, in nftables; undefined where the tool cannot print them. */
function printed({ family, table, restore }: Tools, chains: readonly string[]): string | undefined {
  const there = Nftables.use((nft) => chains.filter((chain) => nft.findChain(nftTable(family, table), chain)));
  if (there.length === 0) return "";
  const { ok, output } = run(restore, ["--noflush", "--wait"], listing(table, there));
  return ok ? output : undefined;
}

/** Runs the lines on the table, all or nothing; returns what iptables-restore complained about, "" when it did not. */
export function tryRestore({ table, restore }: Tools, lines: readonly string[]): string {
  const { ok, errors } = run(restore, ["--noflush", "--wait"], `*${table}\n${lines.join("\n")}\nCOMMIT\n`);
  return ok ? "" : errors || "it failed without a word";
}

/**
 * Plans lines from the table as it is and runs them; planned again when somebody else changed it in between. No lines,
 * no run.
 */
export const changeTable = (tools: Tools, plan: (rules: ChainRules) => string[]): void =>
  withIptablesLock(() => planAndRun(tools, plan));

function planAndRun(tools: Tools, plan: (rules: ChainRules) => string[]): void {
  for (let attempt = 1; ; attempt++) {
    const lines = plan(readTable(tools));
    const errors = lines.length === 0 ? "" : tryRestore(tools, lines);
    if (errors === "") return;
    if (attempt === ATTEMPTS) throw new CniError(Code.Internal, `${tools.restore} failed: ${errors}`);
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
