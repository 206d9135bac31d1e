import type { TunedSysctl, TuningPart } from "../../attachment/attachment.ts";
import { TUNING_FOLDER } from "../../attachment/parts.ts";
import { show } from "../../cni/complaint.ts";
import { CniError, Code } from "../../cni/error.ts";
import { mac } from "../../cni/fields.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { findRepeatedKey } from "../../cni/json.ts";
import { boolean, integer, map, optional, optionalOrEmpty, shape, text } from "../../cni/schema.ts";
import { decodeUtf8 } from "../../net/bytes.ts";
import type { ChainedPlugin } from "../../verbs/plan.ts";
import { CNI_ARGS, readWithMac } from "../interface/argument-mac.ts";

const settings = {
  sysctl: optional(map(text())),
  mac: optionalOrEmpty(mac),
  promisc: optional(boolean),
  mtu: optional(integer(0, 0x7fff_ffff)),
  allmulti: optional(boolean),
  txQLen: optional(integer()),
};
const tuningConfig = shape({
  ...settings,
  dataDir: optionalOrEmpty(text()),
  args: optional(shape({ cni: optional(shape(settings)) })),
  runtimeConfig: optional(shape({ mac: optionalOrEmpty(mac) })),
});

/** What is to be tuned, whoever asks for it. */
interface Tuning {
  dataDir: string;
  sysctls: TunedSysctl[];
  link: TuningPart["link"];
}

function read(call: Invocation): Tuning {
  const isStrict = call.verb !== "DEL" && call.verb !== "GC";
  const places = ["args.cni.mac", "runtimeConfig.mac", CNI_ARGS, "mac"];
  const { args, runtimeConfig, argumentMac, dataDir = TUNING_FOLDER, ...own } = readWithMac(tuningConfig, call, places);
  const { cni = {} } = args ?? {};
  const wanted = { ...own, ...cni, sysctl: { ...own.sysctl, ...cni.sysctl } };
  const address = cni.mac ?? runtimeConfig?.mac ?? argumentMac ?? own.mac;
  if (isStrict && own.sysctl) assertOnce(call);
  return {
    dataDir,
    sysctls: planSysctls(wanted.sysctl, call.ifname, isStrict),
    link: {
      ...(wanted.mtu && { mtu: wanted.mtu }),
      ...(address !== undefined && { mac: address }),
      ...(wanted.promisc && { promisc: true }),
      ...(wanted.allmulti !== undefined && { allmulti: wanted.allmulti }),
      ...(wanted.txQLen !== undefined && { txQLen: wanted.txQLen }),
    },
  };
}

/** JSON.parse keeps one of two equal keys, and which value was meant nobody knows. */
function assertOnce({ stdin }: Invocation): void {
  const repeated = findRepeatedKey(decodeUtf8(stdin), "sysctl");
  if (repeated === undefined) return;
  throw new CniError(Code.InvalidConfig, `invalid configuration: sysctl has the key ${JSON.stringify(repeated)} twice`);
}

/**
 * Paths below /proc/sys: dots are slashes, and IFNAME, once, is the interface. What is not below net/, where each
 * namespace has values of its own, is the node's.
 */
function planSysctls(values: Record<string, string>, ifname: string, isStrict: boolean): TunedSysctl[] {
  const planned = Object.entries(values).map(([key, value]) => ({ key, value, path: pathOf(key, ifname) }));
  const wrong = planned.flatMap(({ key, value, path }, at) => {
    if (path === undefined) return [`sysctl key ${show(key)} must name a sysctl below net, such as net.core.somaxconn`];
    const other = planned.slice(at + 1).find((one) => one.path === path && one.value !== value);
    return other ? [`sysctl keys ${show(key)} and ${show(other.key)} are one sysctl, and must have one value`] : [];
  });
  if (isStrict && wrong.length > 0) {
    throw new CniError(Code.InvalidConfig, `invalid configuration: ${wrong.join("; ")}`);
  }
  return planned.filter((one): one is TunedSysctl => one.path !== undefined);
}

function pathOf(key: string, ifname: string): string | undefined {
  const words = key
    .replaceAll(".", "/")
    .replace("IFNAME", () => ifname)
    .split("/");
  const path = words.filter((word) => word !== "");
  return path[0] === "net" && path.length > 1 && !key.includes("\0") ? path.join("/") : undefined;
}

const planTuning = (tuning: Tuning): TuningPart => ({ kind: "tuning", ...tuning });

/** Sets sysctls of the container's namespace, and MAC, MTU and the like of its interface. */
export const tuning: ChainedPlugin<Tuning> = {
  name: "tuning",
  kinds: [],
  optional: ["tuning"],
  schema: tuningConfig,
  read,
  asked: (config) => [planTuning(config)],
  parts: (config) => [planTuning(config)],
  result: (previous, { attachment: { owner } }, _made, { link: { mac, mtu } }) => ({
    ...previous,
    interfaces: previous.interfaces.map((one) =>
      one.name === owner.ifname ? { ...one, ...(mac !== undefined && { mac }), ...(mtu && { mtu }) } : one,
    ),
  }),
};
