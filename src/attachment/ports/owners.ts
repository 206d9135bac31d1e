import { sha512 } from "../../kernel/hash.ts";
import type { Nftables } from "../../kernel/nftables/nftables.ts";
import { families, formatIp, parseIp } from "../../net/ip.ts";
import type { FoundElement } from "../../netlink/nftables/decode.ts";
import { linkKey } from "../../netlink/nftables/match.ts";
import { NOTE_BYTES, type SetSpec } from "../../netlink/nftables/object.ts";
import type { ElementSpec } from "../../netlink/nftables/ruleset.ts";
import type { Owner, PortMapping } from "../attachment.ts";
import { INET_TABLE } from "../firewall/masquerade.ts";
import { decidingMap, hostAddress, portKey, protocolNumber } from "./keys.ts";

// Which host ports an attachment has: elements by its owner that note them, in the transaction of the mappings. So DEL,
// which may not be told the ports, finds its own among thousands of others without stepping over them.

export const portOwners: SetSpec = { name: "hostportowners", key: ["ifname"] };

/** Container id and interface name are one attachment, whatever its network is called; `at` counts its elements. */
const ownerKey = ({ containerId, ifname }: Owner, at: number): Uint8Array =>
  linkKey(`${sha512(`${containerId}\0${ifname}`).slice(0, 11)}.${at}`);

type Port = Omit<PortMapping, "containerPort">;

/** `tcp/8080`, with the host address where there is one: `tcp/8080/192.0.2.1`. */
function portWord(port: Port): string {
  const address = hostAddress(port);
  return `${port.protocol}/${port.hostPort}${address ? `/${formatIp(address)}` : ""}`;
}

function parsePortWord(word: string): Port[] {
  const [name = "", number, address] = word.split("/");
  const hostIp = address === undefined ? undefined : parseIp(address);
  const hostPort = Number(number);
  if (!(name in protocolNumber) || !(hostPort > 0 && hostPort < 65536)) return [];
  return [{ protocol: name as Port["protocol"], hostPort, ...(hostIp && { hostIp }) }];
}

/** The elements that note the owner's ports, as many as it takes. */
export function ownerElements(owner: Owner, comment: string, ports: readonly Port[]): ElementSpec[] {
  const notes: string[] = [];
  for (const word of new Set(ports.map(portWord))) {
    const longer = `${notes.at(-1) ?? ""} ${word}`.trimStart();
    if (notes.length > 0 && longer.length <= NOTE_BYTES) notes[notes.length - 1] = longer;
    else notes.push(word);
  }
  return notes.map((note, at) => ({
    set: portOwners.name,
    key: ownerKey(owner, at),
    comment,
    note,
    what: `host ports ${note} in set ${portOwners.name}`,
  }));
}

/** The ports that are noted for the owner, and the elements that note them. */
export function findOwned(nft: Nftables, owner: Owner): { ports: Port[]; elements: FoundElement[] } {
  const elements: FoundElement[] = [];
  for (;;) {
    const found = nft.findElement({ table: INET_TABLE, set: portOwners.name, key: ownerKey(owner, elements.length) });
    if (!found) return { elements, ports: elements.flatMap(({ note = "" }) => note.split(" ")).flatMap(parsePortWord) };
    elements.push(found);
  }
}

/** Where such ports may be mapped, each place once. */
export function placesOf(ports: readonly Port[]): { set: string; key: Uint8Array }[] {
  const each = new Map(ports.map((port) => [portWord(port), port]));
  return [...each.values()].flatMap((port) => {
    const address = hostAddress(port);
    const key = portKey(port, address);
    return (address ? [address.family] : families).map((family) => ({ set: decidingMap(family, address), key }));
  });
}
