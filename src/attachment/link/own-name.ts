import { encodeUtf8 } from "../../net/bytes.ts";
import { macBytes } from "../../net/mac.ts";
import { decodeLink, getLinks, type Link } from "../../netlink/rtnetlink/link.ts";
import type { PodNamespace } from "../pod-namespace.ts";
import { findLink } from "./links.ts";

/**
 * The link of that name in a pod; where there is none, or one without the alias, the one that the pod has given another
 * name, by that alias; and where there is none at all, by the MAC prevResult has.
 */
export function findEvenRenamed(
  { socket }: PodNamespace,
  name: string,
  { alias, mac }: { alias?: string | undefined; mac?: string | undefined },
): Link | undefined {
  const named = findLink(socket, name);
  if (named && (alias === undefined || named.alias === alias)) return named;
  const mentions = [...(alias ? [encodeUtf8(alias)] : []), ...(mac ? [macBytes(mac)] : [])];
  if (mentions.length === 0) return named;
  const found = socket.dump(getLinks(), mentions).flatMap((reply) => decodeLink(reply) ?? []);
  const own = found.find((link) => link.alias === alias) ?? named;
  return own ?? found.find((link) => link.mac === mac && !sharesMac(link));
}

/** All ipvlans and VLANs of a master have its MAC. */
export const sharesMac = ({ kind }: Link): boolean => kind === "ipvlan" || kind === "vlan";
