import { findLink } from "../attachment/link/links.ts";
import { namespaceKind } from "../kernel/namespace.ts";
import type { NetlinkSocket } from "../kernel/netlink.ts";
import { isObject } from "../cni/schema.ts";
import type { CachedAttachment } from "../protocol/cached-result.ts";
import { type Liveness, namespaceState } from "../node/liveness.ts";
import { formatIp } from "../net/ip.ts";
import type { Evidence } from "./judgement.ts";
import type { Surveyed } from "./surveyed.ts";

/** What the node says of an attachment. */
export function gatherEvidence(attached: Surveyed, host: NetlinkSocket, liveness: Liveness): Evidence {
  const { link, record, cached, leases, addresses, netns, ruleLinks } = attached;
  const { knowledge } = record ?? {};
  const named = knowledge && [knowledge.hostVeth].filter((name) => name !== undefined);
  const known = named ?? (cached ? hostLinksOf(cached) : ruleLinks);
  const noted = knowledge?.cookie;
  const inUse = addresses.find((ip) => liveness.addressInUse(ip));
  const oldest = leases.map(({ modified }) => modified);
  return {
    recorded: knowledge !== undefined,
    inPodAlone: knowledge !== undefined && knowledge.hostVeth === undefined,
    link: link?.name ?? known.find((name) => findLink(host, name) !== undefined),
    onlyRules: !record && !cached && leases.length === 0,
    linkKnown: knowledge !== undefined || known.length > 0,
    netns: netns === "" ? undefined : noted !== undefined ? namespaceState(netns, noted, liveness) : atPath(netns),
    restarted: record && record.marker !== "" && liveness.marker() !== "" && record.marker !== liveness.marker(),
    addressInUse: inUse && formatIp(inUse),
    ...(oldest.length > 0 && { olderThanBoot: oldest.every((modified) => modified < liveness.bootTime()) }),
  };
}

/** Links of the host that the runtime's result names; bridges are shared and say nothing of a pod. */
export const hostLinksOf = (cached: CachedAttachment | undefined): string[] => {
  const listed = isObject(cached?.result) ? cached.result["interfaces"] : undefined;
  return (Array.isArray(listed) ? listed : []).flatMap((entry) =>
    isObject(entry) && !entry["sandbox"] && String(entry["name"]).startsWith("veth") ? [String(entry["name"])] : [],
  );
};

/** Without a cookie a namespace that is there may be the pod's own. */
function atPath(path: string): "missing" | undefined {
  const kind = namespaceKind(path);
  return kind === "missing" || kind === "no namespace" ? "missing" : undefined;
}
