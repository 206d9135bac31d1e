import { hostAddress } from "../../attachment/ports/keys.ts";
import { scanFitting } from "../../kernel/conntrack.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../../kernel/netlink.ts";
import { type Entry, type FlowPattern, IPPROTO_UDP } from "../../netlink/conntrack.ts";
import { findRange } from "../../ipam/range.ts";
import { formatIp, type Ip, sameIp, uniqueIps } from "../../net/ip.ts";
import { type Finding, warn } from "../finding.ts";
import { ipKey, type Look } from "../look.ts";
import { partOf, type PodView } from "../pod-view.ts";
import type { Layer } from "./layer.ts";

const LAYER = "flows";

/** UDP flows that the kernel goes on leading to somebody who is not there any more, of the pod or of its host ports. */
export const flows: Layer = (view, look) => {
  if (!look.isThorough || view.addresses.length === 0) return [];
  const netfilter = NetlinkSocket.open(NETLINK_NETFILTER);
  try {
    return view.addresses.flatMap((pod) => staleOf(pod, view, look, netfilter));
  } finally {
    netfilter.close();
  }
};

function staleOf(pod: Ip, view: PodView, look: Look, netfilter: NetlinkSocket): Finding[] {
  const { family } = pod;
  const own = uniqueIps(look.addresses.map(({ prefix }) => prefix.ip));
  const wanted = (partOf(view, "ports")?.mappings ?? [])
    .filter(({ protocol }) => protocol === "udp")
    .flatMap((mapping): FlowPattern[] => {
      const address = hostAddress(mapping);
      return (address ? [address] : own)
        .filter((ip) => ip.family === family)
        .map((destination) => ({ destination, destinationPort: mapping.hostPort }));
    });
  const found = new Map<string, Finding>();
  const patterns = [...wanted, { source: pod }];
  scanFitting(netfilter, { family, protocol: IPPROTO_UDP }, patterns, (entry) => {
    const finding = sameIp(entry.source, pod) ? fromPod(entry, look) : toPort(entry, pod, look);
    if (finding) found.set(finding.what, finding);
  });
  return [...found.values()];
}

const filterOf = ({ family }: Entry): string => `conntrack -D${family === 6 ? " -f ipv6" : ""} -p udp`;

/** What came for a host port before the pod had it, and is led where it was led then. */
function toPort(entry: Entry, pod: Ip, { owners }: Look): Finding | undefined {
  // another pod may have the port at another address of the node
  if (sameIp(entry.answering, pod) || owners.has(ipKey(entry.answering))) return undefined;
  const [port, to] = [`${entry.destinationPort}/udp`, formatIp(entry.destination)];
  const led = sameIp(entry.answering, entry.destination) ? "the node itself" : formatIp(entry.answering);
  return warn(LAYER, `a flow to ${port} of ${to} is still led to ${led}`, {
    expected: formatIp(pod),
    is: led,
    mend: `${filterOf(entry)} --orig-dst ${to} --orig-port-dst ${entry.destinationPort}`,
  });
}

/** What the pod sends to a Service, whose pod of this node is gone. */
function fromPod(entry: Entry, look: Look): Finding | undefined {
  const { source, destination, answering } = entry;
  if (sameIp(answering, destination) || !isNobody(answering, look)) return undefined;
  const [from, to, gone] = [source, destination, answering].map(formatIp);
  return warn(LAYER, `a flow of the pod to ${to}, port ${entry.destinationPort}, is still led to ${gone}: nobody's`, {
    mend: `${filterOf(entry)} --orig-src ${from} --reply-src ${gone}`,
  });
}

/** This node hands the address out, and no pod or link of it has it. */
const isNobody = (ip: Ip, { survey, owners, holders }: Look): boolean =>
  !owners.has(ipKey(ip)) &&
  !holders.has(ipKey(ip)) &&
  survey.networks.some(({ config: { sets } }) => sets.some((set) => findRange(set, ip)));
