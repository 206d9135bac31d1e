import { version } from "../../package.json";
import { command } from "./command.ts";
import { type Description, exitCodes, explained, family, synopsis } from "./usage.ts";

/** `podwire manual`: the man page; `all` gives every command there is, this one too. */
export const manualCommand = (all: () => readonly Description[]) =>
  command({
    name: "manual",
    summary: "print the man page",
    about: ["Read it by: podwire manual | man -l -. make install puts it where man finds it."],
    say() {
      const page = manPage(all());
      return { text: page, facts: { page } };
    },
  });

/** Text as roff takes it literally. */
const roff = (text: string): string => text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/, "\\&$&");

const bold = (text: string): string => `\\fB${roff(text)}\\fR`;

function manPage(commands: readonly Description[]): string {
  const all = commands.flatMap(family);
  const lines = [
    `.TH PODWIRE 8 "" "podwire ${version}"`,
    ".SH NAME",
    "podwire \\- connects pods to the network",
    ".SH SYNOPSIS",
    ...all.flatMap((each, at) => [...(at > 0 ? [".br"] : []), synopsisLine(each)]),
    ".SH DESCRIPTION",
    roff(
      "A container runtime runs podwire as a CNI plugin: it sets CNI_COMMAND and writes a configuration to standard " +
        "input. These are the commands for people.",
    ),
    ".SH COMMANDS",
    ...all.flatMap(section),
    ".SH ENVIRONMENT",
    ...environment.flatMap(([name, text]) => [".TP", bold(name), roff(text)]),
    ".SH FILES",
    ...files.flatMap(([name, text]) => [".TP", bold(name), roff(text)]),
  ];
  return `${lines.join("\n")}\n`;
}

const synopsisLine = (each: Description): string =>
  [bold(`podwire ${each.name}`), ...synopsis(each).map(roff)].join(" ");

const section = (each: Description): string[] => [
  `.SS podwire ${roff(each.name)}`,
  ...each.about.flatMap((paragraph) => [".PP", roff(paragraph)]),
  ...explained(each).flatMap(([name, text]) => [".TP", bold(name), roff(text)]),
  ".PP",
  roff(`${each.root === undefined ? "" : `Needs root to ${each.root}. `}${exitCodes(each)}`),
];

const environment: readonly [string, string][] = [
  ["CNI_PATH", "where plugins are looked for, folders with colons between them"],
  ["NO_COLOR, TERM", "colour is used on a terminal only, and not where NO_COLOR is set or TERM is dumb"],
  ["PODWIRE_LOG", "in the runtime's environment: the file plugins log to"],
];

const files: readonly [string, string][] = [
  ["/etc/cni/net.d", "configurations of networks"],
  ["/opt/cni/bin", "plugins"],
  ["/var/lib/cni/networks", "leases of addresses"],
  ["/var/lib/cni/results", "what libcni keeps of every attachment"],
];
