import { findLosingLinks } from "../attachment/address/advertised.ts";
import { CniError, messageOf } from "../cni/error.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { isObject } from "../cni/schema.ts";
import { isSupported, newest, versions } from "../cni/versions.ts";
import { isHostLocal } from "../ipam/config.ts";
import { readLink } from "../kernel/file.ts";
import { SystemError } from "../kernel/linux.ts";
import { findSysctl } from "../kernel/sysctl.ts";
import { formatIp } from "../net/ip.ts";
import { findPlugin } from "../plugins/registry.ts";
import { capacitiesOf, findOverlaps, percentOf } from "../survey/capacity.ts";
import type { NetworkFile } from "../survey/networks.ts";
import { ownCall } from "../survey/own-call.ts";
import { findPluginFile } from "../survey/plugin-file.ts";
import { judgeCapacity, judgeConntrack } from "./judgements.ts";
import { fault, type Finding, orFine, skip, warn } from "./finding.ts";
import type { Look } from "./look.ts";
import { fileSince } from "./since.ts";

/** A layer of the node: what it finds there, whatever its pods. */
export type NodeLayer = (look: Look) => readonly Finding[];

/** What the runtime would use for the next pod: the first configuration, and the plugins it names. */
export const plugins: NodeLayer = ({ survey, binDirs }) => {
  const broken = survey.problems.map((problem) => warn("plugins", problem));
  const [first] = survey.files;
  if (!first) return [...broken, skip("plugins", "no network is configured in the usual folders")];
  const { file, folder, plugins: list, cniVersion, name } = first;
  const path = `${folder}/${file}`;
  const missing = [...new Set(list.flatMap((plugin) => neededFiles(plugin, binDirs)))].filter(
    (type) => findPluginFile(binDirs, type) === undefined,
  );
  const found: Finding[] = [
    ...broken,
    ...(missing.length === 0
      ? []
      : [
          fault("plugins", `${file} names ${missing.join(", ")}: not in ${binDirs.join(", ")}`, {
            since: fileSince(path),
            mend: missing.every((type) => findPlugin(type)) ? "podwire install" : "install what is missing there",
          }),
        ]),
    ...(cniVersion === "" || isSupported(cniVersion)
      ? []
      : [
          fault("plugins", `${path} has cniVersion ${cniVersion}`, {
            expected: versions.join(", "),
            is: cniVersion,
            since: fileSince(path),
          }),
        ]),
    ...list.flatMap((plugin) => statusOf(plugin, first)),
  ];
  return orFine(found, "plugins", `all that ${file} (network ${name}) names is there`);
};

/** Executables an ADD with a plugin's configuration needs; podwire has host-local inside. */
function neededFiles({ type, ipam }: JsonObject, binDirs: readonly string[]): string[] {
  const ipamType = isObject(ipam) && typeof ipam["type"] === "string" ? ipam["type"] : "";
  const needsIpam =
    ipamType !== "" && !(isHostLocal(ipamType) && binDirs.some((dir) => isPodwire(`${dir}/${String(type)}`)));
  return [...(typeof type === "string" && type !== "" ? [type] : []), ...(needsIpam ? [ipamType] : [])];
}

function isPodwire(path: string): boolean {
  try {
    return readLink(path).endsWith("podwire");
  } catch (error) {
    if (error instanceof SystemError) return false; // no link
    throw error;
  }
}

/** What STATUS says, whatever version the list has: features the kernel lacks, folders that cannot be written. */
function statusOf(config: JsonObject, { name, folder, file }: NetworkFile): Finding[] {
  const plugin = findPlugin(String(config["type"]));
  const { ipam } = config;
  // a foreign IPAM plugin's STATUS would have to be run
  if (!plugin || (isObject(ipam) && ipam["type"] !== undefined && !isHostLocal(ipam["type"]))) return [];
  try {
    plugin.status(
      ownCall("STATUS", { config: { cniVersion: newest, ...config, name }, network: name, cniVersion: newest }),
    );
    return [];
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    const mend = `podwire validate ${folder}/${file}`;
    return [fault("plugins", `${plugin.name} of ${file}: ${messageOf(error)}`, { mend })];
  }
}

/** How full ranges are, and whom leases are of. */
export const addresses: NodeLayer = ({ survey }) => {
  const capacities = capacitiesOf(survey.networks, survey.leases);
  const found: Finding[] = capacities.flatMap(judgeCapacity);
  const torn = survey.leases.filter(({ state }) => state === "torn");
  if (torn.length > 0) {
    found.push(
      warn(
        "addresses",
        `files that are no lease block ${torn
          .map(({ ip }) => formatIp(ip))
          .slice(0, 5)
          .join(", ")}`,
        {
          mend: `podwire leases release ${formatIp(torn[0]!.ip)}`,
        },
      ),
    );
  }
  for (const { one, other, range } of findOverlaps(survey.networks)) {
    found.push(warn("addresses", `${one.name} (${one.file}) and ${other.name} (${other.file}) both hand out ${range}`));
  }
  const fullest = Math.max(0, ...capacities.map(percentOf));
  return orFine(found, "addresses", `${survey.leases.length} leased, the fullest range to ${fullest} %`);
};

/** A node that forwards keeps routes and addresses that routers advertise only where accept_ra is 2. */
export const forwarding: NodeLayer = (look) => {
  const states = [
    ["IPv4", findSysctl("net/ipv4/ip_forward")],
    ["IPv6", findSysctl("net/ipv6/conf/all/forwarding")],
  ] as const;
  const losing = states[1][1] === "1" ? findLosingLinks(look.host) : [];
  const found = losing.map(({ name, hasDefault }): Finding => {
    const what = hasDefault ? "the default route a router advertised when it expires" : "what routers advertise";
    return fault("forwarding", `${name} loses ${what}: this node forwards`, {
      expected: "accept_ra 2",
      is: "accept_ra 1",
      mend: `sysctl -w net.ipv6.conf.${name}.accept_ra=2`,
    });
  });
  const on = states.filter(([, value]) => value === "1").map(([name]) => name);
  return orFine(found, "forwarding", on.length > 0 ? `${on.join(" and ")} on` : "off, and no pod asks for it");
};

export const conntrack: NodeLayer = () => {
  const [count, max] = ["count", "max"].map((what) => findSysctl(`net/netfilter/nf_conntrack_${what}`));
  if (count === undefined || max === undefined) return [skip("conntrack", "this kernel tracks no connections here")];
  return judgeConntrack(Number(count), Number(max));
};

/** iptables on bridges: without it a Service's answers from a pod beside the client go past its translation. */
const bridgeNetfilter: NodeLayer = ({ links, survey }) => {
  const value = findSysctl("net/bridge/bridge-nf-call-iptables");
  const hasPods = survey.attachments.some(
    ({ link }) => link?.master !== undefined && links.get(link.master)?.kind === "bridge",
  );
  if (!hasPods || value !== "0") return [];
  return [
    warn(
      "bridge-nf",
      "pods of one bridge cannot reach each other by a Service's address while iptables passes bridges by",
      {
        expected: "1 where kube-proxy runs",
        is: "0",
        mend: "sysctl -w net.bridge.bridge-nf-call-iptables=1",
      },
    ),
  ];
};

/** In this order they are shown. */
export const nodeLayers: readonly NodeLayer[] = [plugins, addresses, forwarding, bridgeNetfilter, conntrack];
