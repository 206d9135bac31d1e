import { findTool, runTool } from "../../attachment/firewall/tool.ts";
import { findText } from "../../kernel/file.ts";
import type { Family } from "../../net/ip.ts";

// Tables of the kernel's older iptables are no nftables: netlink does not tell of them, only their own program does.

const programs = { 4: "iptables-legacy", 6: "ip6tables-legacy" } as const;
const nameFiles = { 4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names" } as const;

/** What older iptables has for packets of a family that are forwarded. */
export interface Legacy {
  /** the program that writes it */
  program: string;
  /** "filter", "nat" */
  tables: string[];
  /** undefined where it could not be read */
  rules: LegacyRules | undefined;
}

/** What is read of them: rules are counted, not followed. */
export interface LegacyRules {
  /** chain FORWARD of table filter drops what none of its rules decides */
  drops: boolean;
  /** rules of that chain */
  forwarding: number;
  /** all rules */
  all: number;
}

/** Reads them; undefined where there are no such tables. The program is started only where there are. */
export function findLegacy(family: Family): Legacy | undefined {
  const tables = (findText(nameFiles[family]) ?? "").split("\n").filter(Boolean);
  if (tables.length === 0) return undefined;
  const program = programs[family];
  return { program, tables, rules: readRules(`${program}-save`) };
}

function readRules(name: string): LegacyRules | undefined {
  const file = findTool(name);
  if (file === undefined) return undefined;
  const { ok, output } = runTool(file, [], "");
  return ok ? countRules(output) : undefined;
}

/** What the text of iptables-save says. */
function countRules(text: string): LegacyRules {
  const lines = text.split("\n");
  const from = lines.indexOf("*filter");
  const filter = from < 0 ? [] : lines.slice(from, lines.indexOf("COMMIT", from));
  return {
    drops: filter.some((line) => line.startsWith(":FORWARD DROP ")),
    forwarding: filter.filter((line) => line.startsWith("-A FORWARD ")).length,
    all: lines.filter((line) => line.startsWith("-A ")).length,
  };
}
