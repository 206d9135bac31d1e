import { namespaceCookie } from "../../kernel/namespace.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { utf8Length } from "../../net/bytes.ts";
import { NOTE_BYTES } from "../../netlink/nftables/object.ts";
import { findLink } from "../link/links.ts";
import type { Site } from "../site.ts";

// Whose pod may be anybody's: behind another vendor's bridge, or a macvlan, no link of the host has a name podwire
// chose. So an element notes where to look for its pod: by the host's end of the link, else by the namespace.

/** The note for the pod of a call; undefined where there is nothing to look for. */
export function noteWhere(site: Site): string | undefined {
  const { hostLink } = site;
  if (hostLink !== undefined) return `link ${hostLink}`;
  const pod = site.findPod();
  const note = pod?.cookie === undefined ? undefined : `netns ${pod.cookie} ${pod.path}`;
  return note !== undefined && utf8Length(note) <= NOTE_BYTES ? note : undefined;
}

/** True when the pod of a note provably is gone: its link is, or its namespace is no longer at its path. */
export function isGone(note: string | undefined, host: NetlinkSocket): boolean {
  const [, link, cookie, path] = /^(?:link (\S+)|netns (\d+) (.+))$/.exec(note ?? "") ?? [];
  if (link !== undefined) return findLink(host, link) === undefined;
  return cookie !== undefined && namespaceCookie(path!) !== BigInt(cookie);
}
