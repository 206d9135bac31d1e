import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Answer,
  type Call,
  type CniErrorText,
  type CniResult,
  type IpLink,
  type Namespace,
  type Node,
  temporaryFolder,
} from "./harness.ts";

/** Every version of the protocol. */
export const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

export const v4 = { subnet: "10.9.0.0/24" };
export const v6 = { subnet: "fd00:9::/64" };
export const defaultRoutes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];

export type Config = Record<string, unknown> & { type: string };

/** The built-in IPAM with one IPv4 subnet, or with the ranges given. */
export const hostLocal = (node: Node, more: object = v4): object => ({
  type: "host-local",
  dataDir: node.dataDir,
  ...more,
});
/** One IPv4 and one IPv6 address. */
export const dualStack = (node: Node, more: object = {}): object => hostLocal(node, { ranges: [[v4], [v6]], ...more });

/** A bridge network "net" on br0 with one IPv4 subnet. */
export const bridge = (node: Node, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "bridge",
  bridge: "br0",
  ipam: hostLocal(node),
  ...more,
});
/** A point-to-point network "net" with one IPv4 subnet and a default route. */
export const ptp = (node: Node, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "ptp",
  ipam: hostLocal(node, { ...v4, routes: defaultRoutes }),
  ...more,
});

/** A network "net" of links made of the node's `uplink`, with one IPv4 subnet. */
export const macvlan = (node: Node, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "macvlan",
  master: "uplink",
  ipam: hostLocal(node),
  ...more,
});

/** A network "net" whose pods have links of the node itself. */
export const hostDevice = (node: Node, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "host-device",
  ipam: hostLocal(node),
  ...more,
});

/** A network "net" whose pods have a TAP device, with one IPv4 subnet. */
export const tap = (node: Node, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "tap",
  ipam: hostLocal(node),
  ...more,
});

/** What flanneld says of a node. */
export const SUBNET_ENV = `FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.3.1/24
FLANNEL_IPV6_NETWORK=fd42::/56
FLANNEL_IPV6_SUBNET=fd42:0:0:3::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
`;

/** A flannel network "net" on br0, on a node that flanneld runs on. */
export function flannel(node: Node, more: object = {}): Config {
  const subnetFile = `${node.dataDir}/subnet.env`;
  if (!existsSync(subnetFile)) writeFileSync(subnetFile, SUBNET_ENV);
  return {
    cniVersion: "1.1.0",
    name: "net",
    type: "flannel",
    subnetFile,
    dataDir: `${node.dataDir}/flannel`,
    delegate: { bridge: "br0", hairpinMode: true, isDefaultGateway: true },
    ipam: { dataDir: node.dataDir },
    ...more,
  };
}

/** A bridge network with addresses of both families, and all the firewall a pod can have but port mappings. */
export const everything = (node: Node, more: object = {}): Config =>
  bridge(node, { isDefaultGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(node), ...more });
/** What wires a pod, in each of its makes. */
export const wirings: [string, (node: Node) => Config][] = [
  ["bridge", everything],
  ["bridge, iptables", (node) => everything(node, { ipMasqBackend: "iptables" })],
  ["ptp", (node) => ptp(node, { ipMasq: true, ipam: dualStack(node) })],
  ["ptp, link-local", (node) => ptp(node, { ipMasq: true, gatewayMode: "link-local", ipam: dualStack(node) })],
];

export type More = Partial<Omit<Call, "config">>;

/** A live attachment: the call that made it, and what its result says. */
export interface Attached {
  call: Omit<Call, "config"> & { config: Config };
  pod: Namespace;
  result: CniResult;
  hostVeth: string;
  mac: string;
  /** addresses without prefix length; "" where there is none */
  ip4: string;
  ip6: string;
}

let count = 0;

/** A call for a configuration, with a container id of its own and a fresh pod unless `more` has another. */
export async function callFor(node: Node, config: Config, more: More = {}): Promise<Attached["call"]> {
  count += 1;
  return {
    plugin: config.type,
    config,
    containerId: `container-${count}`,
    netns: more.netns ?? (await node.pod()),
    ...more,
  };
}

/**
 * Duplicate address detection in the pod takes some five seconds, or as many as are said, not one or two: whatever is
 * done meanwhile has the time on a busy machine too.
 */
export async function detectSlowly({ netns }: Pick<Call, "netns">, seconds = 5): Promise<void> {
  await (netns as Namespace).setSysctl("net/ipv6/conf/default/dad_transmits", seconds - 1);
}

/** ADD that must succeed. */
export async function attach(node: Node, config: Config, more: More = {}): Promise<Attached> {
  const call = await callFor(node, config, more);
  const { result } = await node.succeed("ADD", call);
  return describeAttached(call, result!);
}

/** What an ADD made. */
export function describeAttached(call: Attached["call"], result: CniResult): Attached {
  const { interfaces = [], ips = [] } = result;
  const address = (separator: string): string =>
    ips.find((ip) => ip.address.includes(separator))?.address.replace(/\/.*/, "") ?? "";
  return {
    call,
    pod: call.netns as Namespace,
    result,
    hostVeth: interfaces.find(({ name, sandbox }) => !sandbox && name.startsWith("veth"))?.name ?? "",
    mac: interfaces.find(({ sandbox }) => sandbox)?.mac ?? "",
    ip4: address("."),
    ip6: address(":"),
  };
}

/** The pod's end of an attachment, as `ip` shows it. */
export const linkOf = async ({ pod }: Pick<Attached, "pod">): Promise<IpLink> => (await pod.link("eth0"))!;

/** What is told of it by its kind alone, such as a macvlan's mode. */
export const dataOf = async (attached: Pick<Attached, "pod">): Promise<Record<string, unknown>> =>
  (await linkOf(attached)).linkinfo!.info_data!;

/** The links in the namespace of a call. */
export const namesIn = async (call: Attached["call"]): Promise<string[]> =>
  (await (call.netns as Namespace).links()).map(({ ifname }) => ifname);

/** What CHECK of the attachment complains about, "" when it is content. */
export async function complaint(node: Node, { call, result }: Attached, more: More = {}): Promise<string> {
  const answer = await node.podwire("CHECK", { ...call, config: { ...call.config, prevResult: result }, ...more });
  return answer.exitCode === 0 ? answer.stdout : answer.error!.msg;
}

/** ADD that must fail; its error. */
export async function refusal(node: Node, call: Call): Promise<CniErrorText> {
  return failure(await node.podwire("ADD", call));
}

/** The error of an answer that must be one. */
export function failure(answer: Answer): CniErrorText {
  if (answer.error === undefined) throw new Error(`no error but exit ${answer.exitCode}: ${answer.stdout}`);
  return answer.error;
}

/** A PATH that holds none of the tools plugins use. */
export const bareEnvironment = (): Record<string, string> => ({ PATH: programs({}) });

/** A folder with executables of our own, by name and shell script, for CNI_PATH or PATH. */
export function programs(scripts: Record<string, string>): string {
  const folder = temporaryFolder("programs");
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

/** An environment whose PATH has the firewall's tools, and which of them were started in it. */
export function watchedTools(): { env: Record<string, string>; started(): string[] } {
  const names = [
    "nft",
    "iptables",
    "ip6tables",
    "iptables-save",
    "ip6tables-save",
    "iptables-restore",
    "ip6tables-restore",
  ];
  const script = ': > "$0.started"; name="${0##*/}"; PATH=/usr/sbin:/sbin:/usr/bin:/bin; exec "$name" "$@"';
  const folder = programs(Object.fromEntries(names.map((name) => [name, script])));
  return {
    env: { PATH: `${folder}:${bareEnvironment().PATH}` },
    started: () =>
      readdirSync(folder)
        .filter((name) => name.endsWith(".started"))
        .map((name) => name.replace(".started", "")),
  };
}
