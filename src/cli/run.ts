import type { JsonObject } from "../cni/invocation.ts";
import { isAtLeast } from "../cni/versions.ts";
import { readText } from "../kernel/file.ts";
import { namespaceKind } from "../kernel/namespace.ts";
import { complain } from "../kernel/stderr.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { formatIp, formatPrefix } from "../net/ip.ts";
import { hasCapability } from "../protocol/capabilities.ts";
import { parseDocument } from "../protocol/config.ts";
import { decodeDelegateResult } from "../protocol/result-shapes.ts";
import type { Given } from "./arguments.ts";
import { command, Exit, type Said } from "./command.ts";
import { failuresOf, ListRunner, type PluginFailure, type Target } from "./list-runner.ts";
import { type NetworkList, readNetworkList } from "./network-list.ts";
import { binDirOption, pluginFolders } from "./plugin-folders.ts";
import { pluginFiles } from "./plugin-files.ts";
import { DEFAULT_CACHE_DIR, findResult, forgetResult, keepResult, listResults } from "./result-cache.ts";
import { parseTarget, targetOptions } from "./run-target.ts";
import { count, toText } from "./terminal.ts";

const verbs = ["add", "check", "del", "gc", "status"] as const;

const options = {
  ...targetOptions,
  ...binDirOption,
  "--cache-dir": { value: "DIR", about: `where results are kept, as libcni does (${DEFAULT_CACHE_DIR})` },
} as const;

const operands = {
  VERB: { about: "what to do", among: verbs },
  CONFLIST: { about: "the network's file: a configuration list, or one plugin's configuration" },
  NETNS: {
    about: "the pod: the path of its network namespace, or its name under /run/netns; not for gc and status",
    optional: true,
  },
} as const;

type Request = Given<keyof typeof options | keyof typeof operands>;

/** `podwire run`: does for one namespace what a runtime does for a pod. */
export const run = command({
  name: "run",
  summary: "try a network configuration on a namespace, without a runtime",
  about: [
    "Runs a network's plugins as a runtime does: add in order, each with the result so far, del backwards, with " +
      "arguments of capabilities. Results are kept where libcni keeps them, so that cnitool can go on from here.",
    "Plugins are those that are installed; podwire stands in for its own where they are not. gc removes the kept " +
      "attachments of the network whose namespace is gone, and lets plugins remove what none of the others has.",
    "check and del take from what add kept what is not typed again.",
  ],
  root: "make links and enter namespaces",
  finds: "a plugin said no",
  operands,
  options,
  say(given) {
    const call = prepare(given);
    const perform: Record<(typeof verbs)[number], (call: Call) => Said> = { add, check, del, gc, status };
    return perform[given.get("VERB") as (typeof verbs)[number]](call);
  },
});

interface Call {
  given: Request;
  list: NetworkList;
  /** the file as it is */
  text: string;
  runner: ListRunner;
  cacheDir: string;
}

function prepare(given: Request): Call {
  const file = given.get("CONFLIST");
  const text = readText(file);
  const { list, problems } = readNetworkList(parseDocument(encodeUtf8(text)));
  const others = list.loadOnlyInlinedPlugins || list.name === "" ? [] : pluginFiles(file, list.name);
  for (const other of others) {
    list.plugins.push({ path: [], config: parseDocument(encodeUtf8(readText(other))) });
  }
  const errors = problems.filter(({ isWarning }) => !isWarning).map((problem) => problem.text);
  if (list.plugins.length === 0 && errors.length === 0) errors.push("it has no plugins");
  if (errors.length > 0) throw new Error(`${file}: ${errors.join("; ")}; see podwire validate ${file}`);
  const runner = new ListRunner(list, pluginFolders(given));
  return { given, list, text, runner, cacheDir: given.find("--cache-dir") ?? DEFAULT_CACHE_DIR };
}

const attachedTo = ({ list }: Call, { containerId, ifname }: Target) => ({ network: list.name, containerId, ifname });

/** What was typed, and for what was not, what add was told. */
function recall(call: Call): { target: Target; result: JsonObject | undefined } {
  const typed = parseTarget(call.given);
  const known = findResult(call.cacheDir, attachedTo(call, typed));
  const target = {
    ...typed,
    args: typed.args.length > 0 ? typed.args : (known?.args ?? []),
    capabilities: Object.keys(typed.capabilities).length > 0 ? typed.capabilities : (known?.capabilities ?? {}),
  };
  return { target, result: known?.result };
}

function add(call: Call): Said {
  const target = parseTarget(call.given);
  warnOfUnheard(call.list, target);
  const { list, text, runner, cacheDir } = call;
  return answering(call, () => {
    const result = runner.add(target);
    keepResult(cacheDir, { ...target, network: list.name, result }, encodeUtf8(text));
    return { text: `${describe(call, target)}: ${describeResult(call, result)}`, facts: result };
  });
}

function check(call: Call): Said {
  if (!isAtLeast(call.list.cniVersion, "0.4.0")) throw new Error(without(call.list, "CHECK", "0.4.0"));
  if (call.list.disableCheck) return fine(call, "disableCheck is true: nothing was checked");
  const { target, result } = recall(call);
  return answering(call, () => {
    call.runner.check(target, result);
    return { text: `${describe(call, target)} is as add made it`, facts: { ok: true } };
  });
}

function del(call: Call): Said {
  const { target, result } = recall(call);
  return answering(call, () => {
    call.runner.del(target, result);
    const wasKept = forgetResult(call.cacheDir, attachedTo(call, target));
    const more = wasKept ? "" : "; nothing of it was kept";
    return { text: `removed ${describe(call, target)}${more}`, facts: { ok: true, wasKept } };
  });
}

function gc(call: Call): Said {
  const { list, cacheDir, runner } = call;
  if (list.disableGC) return fine(call, "disableGC is true: nothing was collected");
  const all = listResults(cacheDir, list.name);
  const isThere = ({ netns }: Target): boolean => ["own", "other"].includes(namespaceKind(netns));
  const [kept, gone] = [all.filter(isThere), all.filter((each) => !isThere(each))];
  const failures = gone.flatMap((each) =>
    failuresOf(() => {
      runner.del(each, each.result);
      forgetResult(cacheDir, each);
    }),
  );
  const knows = isAtLeast(list.cniVersion, "1.1.0");
  if (knows) failures.push(...runner.gc(kept));
  const lines = [
    ...gone.map((each) => `${describe(call, each)}: its namespace is gone`),
    ...failures.map(describeFailure),
    `${count(gone.length, "attachment")} removed, ${count(kept.length, "attachment")} kept.`,
    ...(knows ? [] : [without(list, "GC", "1.1.0")]),
  ];
  return {
    text: toText(lines),
    facts: { removed: gone.map(named), kept: kept.map(named), failures: failures.map(factsOf) },
    exit: failures.length > 0 ? Exit.found : Exit.fine,
  };
}

const named = ({ containerId, ifname, netns }: Target) => ({ containerId, ifname, netns });

function status(call: Call): Said {
  if (!isAtLeast(call.list.cniVersion, "1.1.0")) return fine(call, without(call.list, "STATUS", "1.1.0"));
  return answering(call, () => {
    call.runner.status();
    return { text: `network ${call.list.name}: its plugins are ready`, facts: { ok: true } };
  });
}

/** What a step says, or what the plugin said that failed in it. */
function answering(call: Call, step: () => Said): Said {
  try {
    const { text, facts } = step();
    return { text: toText([text]), facts };
  } catch (error) {
    const [failure] = failuresOf(() => {
      throw error;
    });
    const isHalf = failure!.verb === "ADD" && failure!.type !== call.list.plugins[0]!.config["type"];
    const rest = isHalf ? " What the plugins before it made is removed by podwire run del." : "";
    return {
      text: toText([`network ${call.list.name}: ${describeFailure(failure!)}${rest}`]),
      facts: { error: factsOf(failure!) },
      exit: Exit.found,
    };
  }
}

const fine = (call: Call, text: string): Said => ({
  text: toText([`network ${call.list.name}: ${text}`]),
  facts: { ok: true, note: text },
});

const without = ({ cniVersion }: NetworkList, verb: string, since: string): string =>
  `cniVersion ${cniVersion} has no ${verb}, which came with ${since}`;

const describeFailure = ({ message, error: { details } }: PluginFailure): string =>
  `${message}${details === "" ? "" : ` (${details})`}.`;
const factsOf = ({ type, verb, error: { code, message, details } }: PluginFailure) => ({
  plugin: type,
  verb,
  code,
  msg: message,
  ...(details !== "" && { details }),
});

const describe = ({ list }: Call, { netns, ifname }: Target): string => `${netns} ${ifname} of network ${list.name}`;

/** The addresses of a result with their gateways. */
function describeResult({ list }: Call, result: JsonObject): string {
  const { ips } = decodeDelegateResult(result, list.cniVersion, "last");
  const shown = ips.map(
    ({ address, gateway }) => `${formatPrefix(address)}${gateway === undefined ? "" : ` by ${formatIp(gateway)}`}`,
  );
  return shown.length > 0 ? shown.join(", ") : "no addresses";
}

/** Arguments of capabilities that reach no plugin. */
function warnOfUnheard({ plugins }: NetworkList, { capabilities }: Target): void {
  const unheard = Object.keys(capabilities).filter(
    (name) => !plugins.some(({ config }) => hasCapability(config, name)),
  );
  if (unheard.length > 0) complain(`podwire run: no plugin of the network has the capability ${unheard.join(", ")}\n`);
}
