import { formatPath } from "../cni/complaint.ts";
import { findFault, placeOf } from "../cni/json.ts";
import { isObject } from "../cni/schema.ts";
import { readText } from "../kernel/file.ts";
import { readAll } from "../kernel/linux.ts";
import { decodeUtf8 } from "../net/bytes.ts";
import type { Given } from "./arguments.ts";
import { CONF_DIRS } from "../survey/places.ts";
import type { Network } from "../survey/networks.ts";
import { command, Exit, type Said } from "./command.ts";
import { inspectPlugin } from "./inspection.ts";
import { placesIn } from "./json-places.ts";
import { type NetworkList, type Problem, readNetworkList } from "./network-list.ts";
import { isPrivileged, nodeProblems, ownNetworks } from "./node-problems.ts";
import { folderOf, pluginFiles } from "./plugin-files.ts";
import { binDirOption, pluginFolders } from "./plugin-folders.ts";
import { count, wrap } from "./terminal.ts";

const STDIN = 0;

const options = {
  ...binDirOption,
  "--conf-dir": { value: "DIR", about: `where this node's networks are configured (${CONF_DIRS.join(", ")})` },
  "--file-only": { about: "judge the files by themselves, wherever they will be used" },
} as const;

/** `podwire validate`: everything that is wrong with network configurations, with line and column. */
export const validate = command({
  name: "validate",
  summary: "say everything that is wrong with a network configuration, with line and column",
  about: [
    "Reads plugin configurations and configuration lists as a runtime and podwire would, and says all that is wrong " +
      "at once: JSON, keys and their values, keys that nothing reads and what was probably meant, what a list needs.",
    "Unless told to look at the files only, it also says what this node lacks: plugins that are not installed or do " +
      "not speak the cniVersion, a runtime that is too old for it, kernel features, and addresses that another " +
      "network hands out. It changes nothing.",
    "A warning is about what works, but probably not as it was meant.",
  ],
  root: "ask the kernel for what a configuration needs; everything else is done without",
  finds: "something is wrong",
  operands: { FILE: { about: "a configuration; - is standard input", repeated: true } },
  options,
  say(given) {
    const reports: Report[] = [];
    const before: Network[] = [];
    for (const file of given.all("FILE")) {
      const news = reportAll(file, given, before);
      reports.push(...news);
      for (const { list, isSound } of news) if (list && isSound) before.push(...ownNetworks(list, file));
    }
    return summarize(reports, given.has("--file-only") || isPrivileged());
  },
});

/** A line of a file and what is to be said about it. */
interface Finding {
  line: number;
  column: number;
  path: string;
  text: string;
  isWarning: boolean;
}

interface Report {
  file: string;
  /** undefined for what is no JSON object */
  list: NetworkList | undefined;
  findings: Finding[];
  isSound: boolean;
}

type Request = Given<keyof typeof options | "FILE">;

/** One file, and those of its folder that libcni adds to it. */
function reportAll(file: string, given: Request, before: readonly Network[]): Report[] {
  const own = report(file, given, { before });
  const list = own.list;
  if (file === "-" || !list || list.loadOnlyInlinedPlugins || list.name === "") return [own];
  const { name, cniVersion } = list;
  return [
    own,
    ...pluginFiles(file, name).map((each) => report(each, given, { before, inherited: { name, cniVersion } })),
  ];
}

function report(
  file: string,
  given: Request,
  { before, inherited }: { before: readonly Network[]; inherited?: object },
): Report {
  const text = file === "-" ? decodeUtf8(readAll(STDIN)) : readText(file);
  const fault = findFault(text);
  const json: unknown = fault ? undefined : JSON.parse(text);
  if (fault || !isObject(json)) {
    const { line, column, why } = fault ?? { line: 1, column: 1, why: "" };
    const place = { line, column, text: why === "" ? "it must be an object" : `no JSON: ${why}` };
    return { file, list: undefined, findings: [{ ...place, path: "", isWarning: false }], isSound: false };
  }
  const { list, problems } = readNetworkList({ ...inherited, ...json });
  problems.push(...list.plugins.flatMap((plugin) => inspectPlugin(list, plugin, inherited !== undefined)));
  if (list.plugins.length === 0 && json["plugins"] === undefined && !pluginFiles(file, list.name).length) {
    problems.push({
      path: ["plugins"],
      text: `plugins is missing, and no ${folderOf(file)}/${list.name}/*.conf is there`,
    });
  }
  const isSound = problems.every(({ isWarning }) => isWarning);
  if (!given.has("--file-only")) {
    const confDir = given.find("--conf-dir");
    const confDirs = confDir === undefined ? CONF_DIRS : [confDir];
    problems.push(...nodeProblems(list, { file, confDirs, folders: pluginFolders(given), before, isSound }));
  }
  return { file, list, findings: placed(problems, text), isSound };
}

/** Problems in the order of the text, each told once; wrong values at the value, unknown keys at the key. */
function placed(problems: readonly Problem[], text: string): Finding[] {
  const find = placesIn(text);
  const findings = problems.map(({ path, text: words, isWarning = false }): Finding => {
    const place = find(path);
    return { ...placeOf(text, isWarning ? place.key : place.value), path: formatPath(path), text: words, isWarning };
  });
  const isNew = ({ line, text: words }: Finding, at: number): boolean =>
    findings.findIndex((other) => other.line === line && other.text === words) === at;
  return findings.filter(isNew).toSorted((a, b) => a.line - b.line || a.column - b.column);
}

/** What is fine takes a line, and so does each finding, as compilers write them. */
function summarize(reports: readonly Report[], isComplete: boolean): Said {
  const lines = reports.flatMap(({ file, list, findings }) =>
    findings.length === 0
      ? [wrap(`${file}: fine, ${describeList(list!)}`, { indent: "    " })]
      : linesOf(file, findings),
  );
  const all = reports.flatMap(({ findings }) => findings);
  const warnings = all.filter(({ isWarning }) => isWarning).length;
  const sums = [
    ...(warnings < all.length ? [count(all.length - warnings, "problem")] : []),
    ...(warnings > 0 ? [count(warnings, "warning")] : []),
  ];
  if (sums.length > 0) lines.push(`${sums.join(", ")}.`);
  if (!isComplete) lines.push("The kernel was not asked for what is needed of it: that takes root.");
  return {
    text: `${lines.join("\n")}\n`,
    facts: { files: reports.map(({ file, findings }) => ({ file, findings })) },
    exit: all.length > 0 ? Exit.found : Exit.fine,
  };
}

function linesOf(file: string, findings: readonly Finding[]): string[] {
  const places = findings.map(({ line, column }) => `${file}:${line}:${column}`);
  const width = Math.max(...places.map(({ length }) => length));
  return findings.map(({ text, isWarning }, at) =>
    wrap(`${isWarning ? "warning: " : ""}${text}`, { first: `${places[at]!.padEnd(width)}  `, indent: "    " }),
  );
}

const describeList = ({ name, cniVersion, plugins }: NetworkList): string =>
  `network ${name}, cniVersion ${cniVersion}, ${plugins.map(({ config }) => String(config["type"])).join(", ")}`;
