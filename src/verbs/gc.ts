import { findPart } from "../attachment/attachment.ts";
import type { Selection } from "../attachment/kind.ts";
import { kindOf } from "../attachment/kinds.ts";
import { hostVethName, isOfNetwork } from "../attachment/owner.ts";
import { Site } from "../attachment/site.ts";
import type { Invocation } from "../cni/invocation.ts";
import { parseLeaseFolder } from "../ipam/config.ts";
import { listLinked } from "../node/inventory.ts";
import { keptBy, type Kept } from "../ipam/collect.ts";
import { getRecords, madeInOf } from "../node/record.ts";
import { attempt } from "./attempt.ts";
import type { Spec } from "./spec.ts";

/** Removes whatever attachments of the network have that are not valid. */
export function gc<C>(spec: Spec<C>, call: Invocation): void {
  const [config, ipam] = spec.read(call);
  const asked = spec.asked(config);
  const site = new Site(call, () => undefined);
  const failures = attempt("GC");
  const valid = keptBy(call);
  const selection = select(call, site, valid);
  failures.try(() => ipam.giveBack?.(valid));
  for (const name of [...spec.kinds, ...spec.optional]) {
    failures.try(() => kindOf(name).collect?.(selection, findPart(asked, name)));
  }
  // what could not be removed is found by its record the next time
  const keepsRecords = failures.messages().length > 0;
  failures.try(() => ipam.gc(valid, keepsRecords));
  site.close();
  failures.throwIfAny();
}

function select(call: Invocation, site: Site, valid: Kept): Selection {
  const { network, log } = call;
  const areKept = (): Set<string> => new Set(valid().map((attachment) => hostVethName({ network, ...attachment })));
  return {
    network,
    valid,
    site,
    log,
    // asked for by kinds that have links of their own
    get lostLinks() {
      const links = listLinked(site.host).filter(({ owner }) => isOfNetwork(owner, network));
      const kept = areKept();
      return links.flatMap(({ link: { name } }) => (kept.has(name) ? [] : name));
    },
    get lostPods() {
      const records = getRecords(parseLeaseFolder(call));
      const kept = areKept();
      return records.flatMap(({ owner, knowledge }): Selection["lostPods"] => {
        const madeIn = knowledge && madeInOf(knowledge);
        if (!madeIn || knowledge.hostVeth !== undefined) return [];
        return kept.has(hostVethName({ network, ...owner })) ? [] : [{ owner: { network, ...owner }, ...madeIn }];
      });
    },
  };
}
