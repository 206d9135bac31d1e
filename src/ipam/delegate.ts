import { findStat } from "../kernel/file.ts";
import { executablePath } from "../kernel/process.ts";
import { S_IFREG, SystemError } from "../kernel/linux.ts";
import { Code, CniError } from "../cni/error.ts";
import type { Invocation, Verb } from "../cni/invocation.ts";
import type { Result } from "../cni/result.ts";
import { decodeDelegateResult } from "../protocol/result-shapes.ts";
import { parseVersion } from "../cni/versions.ts";
import { parseAnswer, PLUGIN_DEADLINE_MS, runPlugin } from "./plugin-process.ts";

/** `typeKey` is the key that names the plugin: `ipam.type`, unless it says otherwise. */
type Call = Pick<Invocation, "verb" | "path" | "stdin" | "cniVersion" | "log"> & { typeKey?: string };

/**
 * ADD by another plugin of CNI_PATH: its result with the interfaces dropped, whatever version it spoke. The caller runs
 * its DEL after any failure, this one too: the plugin may have done half of it.
 */
export function delegateAdd(call: Call, type: string, deadlineMs = PLUGIN_DEADLINE_MS): Result {
  const result = delegateWiring(call, type, deadlineMs);
  return { ...result, interfaces: [], ips: result.ips.map(({ interface: _dropped, ...one }) => one) };
}

/** ADD by another plugin that wires the pod: its result as it is. */
export function delegateWiring(call: Call, type: string, deadlineMs = PLUGIN_DEADLINE_MS): Result {
  const answer = parseAnswer(execute(call, type, "ADD", deadlineMs), type);
  return decodeDelegateResult(answer, parseVersion(call.cniVersion), type);
}

/** Any verb but ADD by another plugin of CNI_PATH; its error is thrown unchanged. */
export function delegateVerb(call: Call, type: string, verb: Verb = call.verb, deadlineMs = PLUGIN_DEADLINE_MS): void {
  execute(call, type, verb, deadlineMs);
}

/**
 * The file of a plugin: the first directory of CNI_PATH with a regular file of that name. Throws code 7 naming the key.
 */
export function getPluginFile({ path, typeKey = "ipam.type" }: Pick<Call, "path" | "typeKey">, type: string): string {
  if (type === "" || type === "." || type === ".." || type.includes("/")) {
    throw new CniError(
      Code.InvalidConfig,
      `invalid configuration: ${typeKey} is ${JSON.stringify(type)}, must be the name of a plugin's executable`,
    );
  }
  const directories = path.split(":").filter(Boolean);
  const file = directories.map((directory) => `${directory}/${type}`).find(isRegularFile);
  if (file) return file;
  if (directories.length === 0) {
    throw new CniError(
      Code.InvalidEnvironment,
      `CNI_PATH is not set: it says where plugin "${type}", which ${typeKey} names, can be found`,
    );
  }
  throw new CniError(
    Code.InvalidConfig,
    `failed to find plugin "${type}": the executable that ${typeKey} names ` +
      `is not in CNI_PATH [${directories.join(" ")}]`,
  );
}

/**
 * True where that plugin is this executable under another name: what it is asked for in such a call, the plugin of that
 * name, would ask for it again, and so on, until the machine has no room for another process.
 */
export function isThisExecutable(call: Pick<Call, "path">, type: string): boolean {
  try {
    const [own, other] = [findStat(executablePath()), findStat(getPluginFile(call, type))];
    return own !== undefined && own.inode === other?.inode && own.device === other.device;
  } catch (error) {
    if (error instanceof SystemError || error instanceof CniError) return false; // no /proc, or no such plugin
    throw error;
  }
}

/** CniError 7 for an IPAM plugin that is this executable, or, before an ADD touches anything, missing. */
export function assertDelegable(call: Call, type: string): void {
  if (isThisExecutable(call, type)) {
    throw new CniError(
      Code.InvalidConfig,
      `invalid configuration: ipam.type is ${JSON.stringify(type)}, must be a plugin that gives addresses, ` +
        "such as host-local, static or dhcp: this one is podwire itself",
    );
  }
  if (call.verb === "ADD") getPluginFile(call, type);
}

function isRegularFile(file: string): boolean {
  try {
    return findStat(file)?.type === S_IFREG;
  } catch (error) {
    if (error instanceof SystemError) return false; // a directory that may not be searched is one without the plugin
    throw error;
  }
}

/** Runs the plugin with our environment and configuration; what it wrote to stdout. */
function execute(call: Call, type: string, verb: Verb, deadlineMs: number): string {
  const file = getPluginFile(call, type);
  const variables = { CNI_COMMAND: verb };
  return call.log.step(`${type} ${verb}`, () => runPlugin({ type, file, variables, input: call.stdin, deadlineMs }));
}
