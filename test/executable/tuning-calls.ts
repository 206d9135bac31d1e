import { existsSync, readdirSync } from "node:fs";
import { after, type Wired } from "./chained.ts";
import { failure } from "./configs.ts";
import type { Node } from "./harness.ts";
import { type Call, type CniResult, type Namespace } from "./harness.ts";

// tuning as a call behind another plugin, and what it changes.

export const MAC = "02:00:00:00:00:99";
export const all = {
  sysctl: {
    "net.core.somaxconn": "321",
    "net/ipv4/conf/IFNAME/arp_filter": "1",
    "net.ipv4.ip_local_port_range": "20000 30000",
  },
  mac: MAC,
  mtu: 1400,
  promisc: true,
  allmulti: true,
  txQLen: 0,
};
export const tuning = (node: Node, more: object = all) => ({
  type: "tuning",
  dataDir: `${node.dataDir}/tuning`,
  ...more,
});

/** What tuning can change of a pod, as `ip` and /proc have it. */
export async function state(pod: Namespace, ifname = "eth0"): Promise<object> {
  const [link] = await pod.ipJson<{ address: string; mtu: number; txqlen?: number; flags: string[] }[]>(
    `link show ${ifname}`,
  );
  const { address, mtu, txqlen = 0, flags } = link!;
  return {
    address,
    mtu,
    txqlen,
    promisc: flags.includes("PROMISC"),
    allmulti: flags.includes("ALLMULTI"),
    somaxconn: await pod.sysctl("net/core/somaxconn"),
    filter: await pod.sysctl(`net/ipv4/conf/${ifname}/arp_filter`),
    ports: (await pod.sysctl("net/ipv4/ip_local_port_range")).replace("\t", " "),
  };
}
export const tuned = {
  address: MAC,
  mtu: 1400,
  txqlen: 0,
  promisc: true,
  allmulti: true,
  somaxconn: "321",
  filter: "1",
  ports: "20000 30000",
};
export const backups = (node: Node): string[] =>
  existsSync(`${node.dataDir}/tuning`) ? readdirSync(`${node.dataDir}/tuning`) : [];
export const add = async ({ node, call }: Wired, config: object, more: Partial<Call> = {}): Promise<CniResult> =>
  (await node.succeed("ADD", { ...call(config), ...more })).result!;
export async function complaint({ node, call }: Wired, config: object, result: CniResult): Promise<string> {
  const answer = await node.podwire("CHECK", after(call(config), result));
  return answer.exitCode === 0 ? "" : failure(answer).msg;
}
