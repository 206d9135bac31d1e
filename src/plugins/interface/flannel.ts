import { refuseOwnNamespace } from "../../attachment/pod-namespace.ts";
import { Undo } from "../../attachment/undo.ts";
import { CniError, Code, codeFor } from "../../cni/error.ts";
import type { Invocation, JsonObject, Plugin } from "../../cni/invocation.ts";
import { knownBy } from "../../cni/known-keys.ts";
import { readConfig } from "../../cni/reading.ts";
import type { Result } from "../../cni/result.ts";
import { keptBy } from "../../ipam/collect.ts";
import { delegateVerb, delegateWiring, getPluginFile } from "../../ipam/delegate.ts";
import { readText } from "../../kernel/file.ts";
import { isErrno, SystemError } from "../../kernel/linux.ts";
import { encodeUtf8 } from "../../net/bytes.ts";
import {
  assertDelegationKept,
  collectDelegations,
  findDelegation,
  forgetDelegation,
  keepDelegation,
  type Place,
} from "../../node/delegation.ts";
import { commonSchema, parseBase } from "../../protocol/config.ts";
import {
  type FlannelConfig,
  flannelConfig,
  parseSubnetEnv,
  planDelegate,
  printSorted,
  type SubnetEnv,
  unusable,
} from "./flannel-delegate.ts";

/** What the delegate is told. */
type Told = JsonObject & { type?: unknown };

const known = knownBy([commonSchema, flannelConfig]);

/** Finds a plugin of podwire's own. */
type Find = (type: string) => Plugin | undefined;

/**
 * Lets another plugin wire the pod, with the subnet flanneld has for this node. One of podwire's own is run in this
 * process.
 */
export const flannel = (find: Find): Plugin => ({
  name: "flannel",
  add: (call) => add(find, call),
  check(call) {
    const config = readConfig(flannelConfig, call);
    run(find, call, withPrevious(getTold(config, call), config));
  },
  del(call) {
    refuseOwnNamespace(call);
    const config = readConfig(flannelConfig, call);
    const place = placeOf(config, call);
    const kept = findDelegation(place);
    const told: Told = kept ?? planDelegate(config, call);
    // without what was kept only podwire itself is asked, which goes by the owner
    if (kept || findOwn(find, told)) run(find, call, withPrevious(told, config));
    forgetDelegation(place);
  },
  gc(call) {
    const config = readConfig(flannelConfig, call);
    const valid = call.validAttachments.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }));
    const told = { ...planDelegate(config, call), "cni.dev/valid-attachments": valid };
    const kept = keptBy(callOf(told, call));
    run(find, call, told);
    collectDelegations(placeOf(config, call), kept);
  },
  status(call) {
    const config = readConfig(flannelConfig, call);
    run(find, call, planDelegate(config, call, availableSubnetEnv(config)));
  },
  delegated(call) {
    const config = readConfig(flannelConfig, call);
    const told = call.verb === "CHECK" ? getTold(config, call) : planDelegate(config, call, readSubnetEnv(config));
    const plugin = findOwn(find, told);
    // whatever verbs the list's version has: nobody calls it
    return plugin && { type: plugin.name, call: { ...call, config: told } };
  },
  inspect: (call) => void readConfig(flannelConfig, call),
  known: () => known,
});

function add(find: Find, call: Invocation): Result {
  const config = readConfig(flannelConfig, call);
  refuseOwnNamespace(call);
  const told = planDelegate(config, call, readSubnetEnv(config));
  const { plugin, given, type } = delegated(find, call, told);
  if (!plugin) getPluginFile(given, type); // found out before anything is touched
  const undo = new Undo();
  try {
    const place = placeOf(config, call);
    keepDelegation(place, printSorted(told), undo);
    const takeBack = (): void => run(find, { ...call, verb: "DEL" }, told);
    if (!plugin) undo.push(`DEL of ${type}`, takeBack); // it may have done half of it
    const result = plugin ? plugin.add(given) : delegateWiring(given, type);
    if (plugin) undo.push(`DEL of ${type}`, takeBack);
    assertDelegationKept(place);
    return result;
  } catch (error) {
    for (const failure of undo.run()) call.log.warn(`undo: ${failure}`);
    throw error;
  }
}

/** Any verb but ADD. */
function run(find: Find, call: Invocation, told: Told): void {
  const { plugin, given, type } = delegated(find, call, told);
  if (plugin) plugin[call.verb.toLowerCase() as "check" | "del" | "gc" | "status"](given);
  else delegateVerb(given, type);
}

function getTold(config: FlannelConfig, call: Invocation): Told {
  const told = findDelegation(placeOf(config, call));
  if (told) return told;
  throw new CniError(Code.Internal, `what the delegate was told is not in ${config.dataDir} any more`);
}

/** The plugin that wires the pod, if it is podwire's own. */
const findOwn = (find: Find, { type }: Told): Plugin | undefined =>
  typeof type === "string" && type !== "flannel" ? find(type) : undefined;

function delegated(find: Find, call: Invocation, told: Told) {
  const type = typeof told.type === "string" ? told.type : "";
  if (type === "flannel" || type === "") {
    const what = `is ${JSON.stringify(type)}, must be the plugin that wires the pod`;
    throw new CniError(Code.InvalidConfig, `invalid configuration: delegate.type ${what}`);
  }
  return { type, plugin: findOwn(find, told), given: callOf(told, call) };
}

const placeOf = ({ dataDir }: FlannelConfig, { network, containerId, ifname }: Invocation): Place => ({
  dataDir,
  network,
  containerId,
  ifname,
});

const withPrevious = (told: Told, { prevResult }: FlannelConfig): Told =>
  prevResult === undefined ? told : { ...told, prevResult };

/** The delegate's call: ours, with what every plugin reads of its configuration. */
function callOf(told: JsonObject, { prevResult: _ours, ...call }: Invocation): Invocation & { typeKey: string } {
  const base = parseBase(told, call.verb, call.log);
  const stdin = encodeUtf8(printSorted(told));
  return { ...call, ...base, validAttachments: call.validAttachments, stdin, typeKey: "delegate.type" };
}

/** As `readSubnetEnv` for STATUS: without the file nothing can be wired here. */
function availableSubnetEnv(config: FlannelConfig): SubnetEnv {
  try {
    return readSubnetEnv(config);
  } catch (error) {
    throw error instanceof CniError ? new CniError(Code.NotAvailable, error.message) : error;
  }
}

function readSubnetEnv({ subnetFile }: FlannelConfig): SubnetEnv {
  try {
    return parseSubnetEnv(readText(subnetFile), subnetFile);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    // no node has it before flanneld has started
    throw unusable(error.message, isErrno(error, "ENOENT") ? Code.TryAgainLater : codeFor(error, Code.Io));
  }
}
