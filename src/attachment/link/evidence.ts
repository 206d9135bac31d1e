import { namespaceCookie } from "../../kernel/namespace.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import type { Found, MadeIn, Selection, Traces } from "../kind.ts";
import { PodNamespace } from "../pod-namespace.ts";
import { tryEach } from "../try-each.ts";
import { findAddresses } from "./links.ts";

/**
 * Whose a link in a pod is that does not say so itself, by the namespace's cookie, prevResult's MAC, or an address of
 * its lease or prevResult; undefined where nothing is known of the attachment.
 */
export function isEvident(link: Link, pod: PodNamespace, traces: Traces): Found | undefined {
  const { addresses, mac, madeIn } = traces;
  if (madeIn && pod.cookie === madeIn.cookie) return "own";
  if (mac !== undefined && link.mac === mac) return "foreign";
  if (mac === undefined && addresses.length === 0) return madeIn ? "unknown" : undefined;
  return findAddresses(pod.socket, link, addresses).length > 0 ? "foreign" : "unknown";
}

/** Does something in a namespace that is still the one an attachment was made in; undefined where it is not. */
export const useLostPod = <T>({ netns, cookie }: MadeIn, use: (pod: PodNamespace) => T): T | undefined =>
  namespaceCookie(netns) === cookie ? PodNamespace.use(netns, use) : undefined;

/**
 * As `useLostPod`; in the namespace of CNI_NETNS where the attachment's is not known. The two may differ: CNI_NETNS may
 * name another pod's, by mistake or on purpose.
 */
export function usePod<T>({ pod, madeIn }: Traces, use: (pod: PodNamespace) => T): T | undefined {
  if (pod && (!madeIn || pod.cookie === madeIn.cookie || namespaceCookie(madeIn.netns) !== madeIn.cookie)) {
    return use(pod);
  }
  return madeIn && useLostPod(madeIn, use);
}

/**
 * GC: removes the links of attachments that are not valid, in namespaces that are still those they were made in, and
 * returns how many; one that fails keeps no other back, and is thrown at the end.
 */
export function collectLost({ lostPods, site }: Selection, remove: (traces: Traces) => Found): number {
  let removed = 0;
  tryEach(lostPods, ({ owner, ...madeIn }) => {
    if (remove({ owner, site, madeIn, addresses: [] }) !== "unknown") removed += 1;
  });
  return removed;
}
