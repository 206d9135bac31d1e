import { formatIp, formatPrefix, type Ip, isDefault, networkOf, parseIp, type Prefix } from "../net/ip.ts";
import { decodeRoutes, getRoutes, RT_TABLE_MAIN } from "../netlink/rtnetlink/route.ts";
import { tableName } from "../netlink/nftables/object.ts";
import { ACCEPT_MARK } from "../attachment/firewall/filter.ts";
import { INET_TABLE } from "../attachment/firewall/masquerade.ts";
import { protocolNumber } from "../attachment/ports/keys.ts";
import { type Decision, describeTable, NF_INET_FORWARD, NF_INET_PRE_ROUTING, type Tables } from "./firewall/tables.ts";
import type { Packet } from "./firewall/packet.ts";
import { fault, type Finding, ok } from "./finding.ts";
import { linkAt, linkTowards, type Look } from "./look.ts";
import { partOf, type PodView } from "./pod-view.ts";

/** Addresses nobody has (RFC 5737, RFC 3849), to ask what becomes of packets to and from elsewhere. */
const elsewhere = { 4: parseIp("203.0.113.77")!, 6: parseIp("2001:db8:ffff::77")! } as const;

/** Links with a default route, by family; "" where there is none. */
export function findUplinks(look: Look): Record<4 | 6, string> {
  const of = (family: 4 | 6): string => {
    const routes = look.host.dump(getRoutes(family)).flatMap(decodeRoutes);
    const found = routes.find(({ dst, table }) => isDefault(dst) && table === RT_TABLE_MAIN);
    return linkAt(look, found?.index)?.name ?? "";
  };
  return { 4: of(4), 6: of(6) };
}

/** What a pod's packets may meet: by which link they come and go, and which of them somebody surely drops. */
export function examineFirewall(view: PodView, look: Look, tables: Tables, uplinks: Record<4 | 6, string>): Finding[] {
  const way = linkTowards(look, view.hostLink)?.name;
  if (way === undefined || (partOf(view, "host")?.forwarding ?? []).length === 0) return [];
  const found: Finding[] = [];
  for (const ip of view.addresses) {
    const uplink = uplinks[ip.family];
    const base = { protocol: protocolNumber.tcp, destinationKind: "unicast", state: "new", ...markOf(view) } as const;
    const out: Packet = { ...base, source: ip, destination: elsewhere[ip.family], iif: way, oif: uplink };
    const answer: Packet = {
      ...base,
      source: elsewhere[ip.family],
      destination: ip,
      iif: uplink,
      oif: way,
      state: "established",
    };
    const there = tables.findDrop(NF_INET_FORWARD, out);
    const back = there ? undefined : tables.findDrop(NF_INET_FORWARD, answer);
    if (there) found.push(dropFinding(there, view, ip, "what the pod sends out"));
    else if (back) found.push(dropFinding(back, view, ip, "the answers to the pod"));
    else found.push(...mappedDrops(view, ip, { ...answer, state: "new", translated: true }, tables));
  }
  found.push(...takenPorts(view, look, tables, uplinks));
  return found.length > 0 ? found : [ok("firewall", "no chain surely drops what is forwarded for it")];
}

/** Table inet podwire marks what the firewall plugin lets pass before iptables sees it, where its elements are. */
export function markOf(view: PodView): Pick<Packet, "mark"> {
  const wanted = partOf(view, "filter");
  const isInPlace = wanted && wanted.backend !== "iptables" && !view.differences.some(({ kind }) => kind === "filter");
  return isInPlace ? { mark: ACCEPT_MARK } : {};
}

/** New connections that a host port leads to the pod. */
function mappedDrops(view: PodView, ip: Ip, packet: Packet, tables: Tables): Finding[] {
  const mappings = partOf(view, "ports")?.mappings ?? [];
  for (const { containerPort, protocol } of mappings) {
    const drop = tables.findDrop(NF_INET_FORWARD, {
      ...packet,
      protocol: protocolNumber[protocol],
      destinationPort: containerPort,
    });
    if (drop) return [dropFinding(drop, view, ip, "new connections to the pod's host ports")];
  }
  return [];
}

function dropFinding({ table, chain, decidedIn }: Decision, view: PodView, ip: Ip, what: string): Finding {
  const where = `chain ${chain} of ${describeTable(table)}`;
  const how = decidedIn === undefined ? "policy drop, and no rule accepts it" : `by a rule in ${decidedIn}`;
  const subnet = subnetOf(view, ip);
  return fault("firewall", `${where} drops ${what} (${how})`, { mend: acceptCommand({ table, chain }, subnet, what) });
}

/** The network one of its addresses is of. */
export const subnetOf = (view: PodView, ip: Ip): Prefix => {
  const found = partOf(view, "pod")?.addresses.find(({ prefix }) => prefix.ip.value === ip.value)?.prefix;
  return networkOf(found ?? { ip, length: ip.family === 4 ? 32 : 128 });
};

function acceptCommand({ table, chain }: Pick<Decision, "table" | "chain">, subnet: Prefix, what: string): string {
  const v6 = subnet.ip.family === 6;
  const isOut = what.includes("sends");
  const text = formatPrefix(subnet);
  if (table.name === "filter" && (table.family === 2 || table.family === 10) && chain === "FORWARD") {
    return `${v6 ? "ip6tables" : "iptables"} -I FORWARD ${isOut ? "-s" : "-d"} ${text} -j ACCEPT`;
  }
  const match = `${v6 ? "ip6" : "ip"} ${isOut ? "saddr" : "daddr"} ${text}`;
  return `nft insert rule ${tableName(table)} ${chain} ${match} accept`;
}

/** AFTER_DSTNAT of podwire's own chain (attachment/ports/maps.ts). */
const OWN_PRIORITY = -90;

/** Host ports that somebody else's translation takes before podwire's is asked. */
function takenPorts(view: PodView, look: Look, tables: Tables, uplinks: Record<4 | 6, string>): Finding[] {
  const wanted = partOf(view, "ports");
  if (wanted?.backend !== "nftables") return [];
  return wanted.mappings.flatMap((mapping): Finding[] => {
    const { hostPort, protocol } = mapping;
    const family = wanted.addresses[0]?.ip.family ?? 4;
    const own =
      mapping.hostIp ??
      look.addresses.find(
        ({ index, prefix }) => prefix.ip.family === family && linkAt(look, index)?.name === uplinks[family],
      )?.prefix.ip;
    if (!own) return [];
    const taken = tables.findTranslation(
      NF_INET_PRE_ROUTING,
      {
        source: elsewhere[own.family],
        destination: own,
        iif: uplinks[own.family],
        oif: "",
        protocol: protocolNumber[protocol],
        destinationPort: hostPort,
        destinationKind: "local",
        state: "new",
      },
      OWN_PRIORITY,
    );
    if (!taken || (taken.table.family === INET_TABLE.family && taken.table.name === INET_TABLE.name)) return [];
    const where = `${describeTable(taken.table)}, chain ${taken.decidedIn ?? taken.chain}`;
    return [
      fault(
        "ports",
        `${hostPort}/${protocol} of ${formatIp(own)} is led elsewhere by ${where}, before podwire is asked`,
        {
          mend: `remove that rule, or give the pod another host port`,
        },
      ),
    ];
  });
}
