import { PodNamespace } from "../attachment/pod-namespace.ts";
import { protocolNumber } from "../attachment/ports/keys.ts";
import { findLinkTowards, isLocal } from "../kernel/route-lookup.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { tableName } from "../netlink/nftables/object.ts";
import { podTitle } from "../survey/choose.ts";
import { fault, type Finding, ok, skip } from "./finding.ts";
import type { Packet } from "./firewall/packet.ts";
import { type Decision, describeTable, NF_INET_FORWARD, NF_INET_LOCAL_IN, type Tables } from "./firewall/tables.ts";
import { markOf } from "./firewall-layer.ts";
import { ipKey, linkNamed, linkTowards, type Look } from "./look.ts";
import { mendOf } from "./pod/layer.ts";
import { partOf, type PodView } from "./pod-view.ts";
import { probe } from "./probe.ts";

const LAYER = "way";

/**
 * The way a pod's packets take to an address: looked up in the pod and on the node, the rules they meet there, and,
 * where none of these ends it, whether some are answered.
 */
export function examineWay(view: PodView, look: Look, tables: Tables, to: Ip): Finding[] {
  const found = lookUp(view, look, tables, to);
  const host = linkNamed(look, view.hostLink?.name);
  const { netns, owner } = view.attached;
  if (!view.inside || !host || found.some(({ state }) => state !== "ok")) return found;
  const out = isLocal(look.host, to) ? undefined : outLink(look, to);
  return [...found, probe(netns, to, { inPod: owner.ifname, host: host.name, out }, look)];
}

/** By which link it leaves the node; a bridge counts no frames from one port to another, and is not told. */
function outLink({ host, links }: Look, to: Ip): string | undefined {
  const name = findLinkTowards(host, to);
  return [...links.values()].some((link) => link.name === name && link.kind === "bridge") ? undefined : name;
}

function lookUp(view: PodView, look: Look, tables: Tables, to: Ip): Finding[] {
  const source = view.addresses.find(({ family }) => family === to.family);
  const goal = formatIp(to);
  if (!source) return [fault(LAYER, `the pod has no IPv${to.family} address to reach ${goal} from`)];
  if (!view.inside) return [skip(LAYER, "the pod's namespace cannot be looked into")];
  const mend = mendOf(view);
  const out = inPod(view, to);
  if (out === undefined) return [fault(LAYER, `the pod has no route to ${goal}`, { mend })];
  if (out !== view.attached.owner.ifname) return [ok(LAYER, `${goal} is reached by ${out} of the pod`)];
  const way = linkTowards(look, view.hostLink)?.name;
  if (way === undefined) return [skip(LAYER, `${out} leads to no link of this node`)];
  const packet: Packet = {
    source,
    destination: to,
    iif: way,
    oif: "",
    protocol: protocolNumber.tcp,
    destinationKind: "unicast",
    state: "new",
    ...markOf(view),
  };
  const path = [formatIp(source), out, way];
  if (isLocal(look.host, to)) {
    const drop = tables.findDrop(NF_INET_LOCAL_IN, { ...packet, destinationKind: "local" });
    return [
      drop ? dropped(drop, "what comes in for the node") : ok(LAYER, [...path, `${goal}, the node's own`].join(" -> ")),
    ];
  }
  const oif = findLinkTowards(look.host, to);
  if (oif === undefined) {
    return [
      fault(LAYER, `the node has no route to ${goal}`, { is: "no route", mend: `ip route get ${goal} says why` }),
    ];
  }
  const drop =
    tables.findDrop(NF_INET_FORWARD, { ...packet, oif }) ??
    tables.findDrop(NF_INET_FORWARD, {
      ...packet,
      source: to,
      destination: source,
      iif: oif,
      oif: way,
      state: "established",
    });
  // of one bridge, and routed by nobody
  if (drop && oif !== way) return [dropped(drop, `what goes to ${goal} and comes back`)];
  return [ok(LAYER, [...path, ...(oif === way ? [] : [oif]), `${goal}${endOf(view, look, to)}`].join(" -> "))];
}

const inPod = (view: PodView, to: Ip): string | undefined =>
  PodNamespace.use(view.attached.netns, ({ socket }) => findLinkTowards(socket, to));

const dropped = ({ table, chain, decidedIn }: Decision, what: string): Finding =>
  fault(
    LAYER,
    `chain ${chain} of ${describeTable(table)} drops ${what} (${decidedIn ? `a rule in ${decidedIn}` : "policy drop"})`,
    {
      mend: `nft list chain ${tableName(table)} ${decidedIn ?? chain}`,
    },
  );

/** Who is at the end: a pod of this node, or somebody who must know the way back. */
function endOf(view: PodView, look: Look, to: Ip): string {
  const [pod] = look.owners.get(ipKey(to)) ?? [];
  if (pod) return `, ${podTitle(pod)}`;
  return partOf(view, "masquerade") ? ", masqueraded" : `; whoever is there must know the way back to the pod`;
}
