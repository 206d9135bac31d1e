import { kindOf } from "../attachment/kinds.ts";
import type { Made, Part, PartName } from "../attachment/attachment.ts";
import type { Progress } from "../attachment/kind.ts";
import { assertOwnable } from "../attachment/address/ownable.ts";
import { refuseOwnNamespace } from "../attachment/pod-namespace.ts";
import { Site } from "../attachment/site.ts";
import { Undo } from "../attachment/undo.ts";
import { findLink, hasLink } from "../attachment/link/links.ts";
import { hostVethName } from "../attachment/owner.ts";
import { CniError, Code, removedMeanwhile } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import { noAddressing, type Result } from "../cni/result.ts";
import { assertConvertible } from "../cni/versions.ts";
import { findHolder } from "../ipam/holder.ts";
import type { Ipam } from "../ipam/ipam.ts";
import { isErrno } from "../kernel/system-error.ts";
import { setLink } from "../netlink/rtnetlink/link.ts";
import type { Spec } from "./spec.ts";

/** Makes the attachment; when that fails, takes back what it made and throws. */
export function add<C>(spec: Spec<C>, call: Invocation): Result {
  const [config, ipam] = spec.read(call);
  assertConvertible(call.cniVersion, { hasIps: ipam.gives });
  const asked = spec.asked(config);
  assertTools(asked);
  if (spec.isChained) refuseOwnNamespace(call);
  const site = new Site(call, (self) => spec.hostLink(self, call));
  const undo = new Undo();
  const made: Made = {};
  const findLoss = () => findLost(made, site, ipam) ?? (spec.isChained ? findLostEarlier(call, site) : undefined);
  try {
    if (!spec.isChained) void site.pod.socket; // opened, or refused, before anything is done
    const subject = spec.draw(call, config);
    const progress: Progress = { undo, made, holderOf: (ip) => findHolder(call, ip) };
    if (ipam.prepare) {
      ipam.prepare(site, asked, undo);
      applyLink(spec.plan(config, subject, noAddressing()).attachment.parts, site, progress);
    }
    const addressing = ipam.add(site, asked, undo);
    const plan = spec.plan(config, subject, addressing);
    const { parts } = plan.attachment;
    if (!spec.isChained) {
      const given = addressing.ips.map(({ address }) => address);
      assertOwnable(given, parts, site.host);
    }
    if (addressing.ips.length > 0) assertTools(parts);
    applyParts(ipam.prepare ? parts.filter(({ kind }) => !linkKinds.includes(kind)) : parts, site, progress);
    settle(parts, site, made);
    const loss = findLoss();
    if (loss) throw removedMeanwhile(loss);
    return spec.result(call, plan, made, { config, addressing });
  } catch (error) {
    try {
      // asked before the undo removes it; a step that fails of its absence says ENODEV, and not why
      const isTold = error instanceof CniError && error.code === Code.TryAgainLater;
      const loss = isTold ? undefined : (findLoss() ?? (isErrno(error, "ENODEV") ? "a link" : undefined));
      throw loss ? removedMeanwhile(loss, error) : error;
    } finally {
      for (const failure of undo.run()) call.log.warn(`undo: ${failure}`);
    }
  } finally {
    site.close();
  }
}

/**
 * A GC that runs meanwhile has a list from before this ADD, and takes what it made for a leftover: better an error than
 * a pod whose address the next one gets too. What is gone of what was made, in words.
 */
function findLost({ veth, pod, ifb }: Made, site: Site, ipam: Ipam): string | undefined {
  const onHost = veth ?? ifb; // a veth has the pod's end with it
  const link = onHost ?? pod;
  if (link && !hasLink(onHost ? site.host : site.pod.socket, link)) return `link ${link.name}`;
  return ipam.isKept() ? undefined : "the lease";
}

/** As `findLost`, of what an earlier plugin of the chain made: the next pod gets this one's address and ports. */
function findLostEarlier({ prevResult }: Invocation, { owner, host }: Site): string | undefined {
  const name = hostVethName(owner);
  const isListed = prevResult?.interfaces.some((each) => each.name === name && !each.sandbox) ?? false;
  return isListed && !findLink(host, name) ? `link ${name}, which prevResult lists,` : undefined;
}

const assertTools = (parts: readonly Part[]): void => {
  for (const part of parts) kindOf(part.kind).assertTools?.(part);
};

/** Makes every part, in order; throws the first failure: the caller runs the undo. */
function applyParts(parts: readonly Part[], site: Site, progress: Progress): void {
  for (const part of parts) site.log.step(part.kind, () => kindOf(part.kind).apply(part, site, progress));
}

function settle(parts: readonly Part[], site: Site, made: Made): void {
  site.log.step("settle", () => {
    for (const part of parts) kindOf(part.kind).settle?.(part, site, made);
  });
}

/** What the pod's link is made of: the same whatever addresses it will have. */
const linkKinds: readonly PartName[] = ["bridge", "veth", "podLink", "movedLink"];

/** Makes the link alone, up, for who asks over it what addresses it is to have. */
function applyLink(parts: readonly Part[], site: Site, progress: Progress): void {
  const link = parts.filter(({ kind }) => linkKinds.includes(kind));
  applyParts(link, site, progress);
  const { made } = progress;
  if (made.pod) site.pod.socket.request([setLink(made.pod, { up: true })]);
  settle(link, site, made);
}
