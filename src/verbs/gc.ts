import { findPart } from "../attachment/attachment.ts";
import type { Selection } from "../attachment/kind.ts";
import { kindOf } from "../attachment/kinds.ts";
import { findLink } from "../attachment/link/links.ts";
import { hostVethName, isOfNetwork } from "../attachment/owner.ts";
import { Site } from "../attachment/site.ts";
import type { Invocation } from "../cni/invocation.ts";
import { parseLeaseFolder } from "../ipam/config.ts";
import { listLinked } from "../node/inventory.ts";
import { getRecords } from "../node/record.ts";
import { attempt } from "./attempt.ts";
import type { Spec } from "./spec.ts";

/** Removes whatever attachments of the network have that are not valid. */
export function gc<C>(spec: Spec<C>, call: Invocation): void {
  const [config, ipam] = spec.read(call);
  const asked = spec.asked(config);
  const site = new Site(call, () => undefined);
  const failures = attempt("GC");
  const selection = select(spec, call, site);
  failures.try(() => ipam.giveBack?.());
  for (const name of [...spec.kinds, ...spec.optional]) {
    failures.try(() => kindOf(name).collect?.(selection, findPart(asked, name)));
  }
  // what could not be removed is found by its record the next time
  const keepsRecords = failures.messages().length > 0;
  failures.try(() => ipam.gc(keepsRecords, selection.isWired));
  site.close();
  failures.throwIfAny();
}

function select<C>({ isChained }: Spec<C>, call: Invocation, site: Site): Selection {
  const { network, validAttachments: valid, log } = call;
  const kept = new Set(valid.map((attachment) => hostVethName({ network, ...attachment })));
  return {
    network,
    valid,
    site,
    log,
    // the link a chained plugin works on is another's to delete
    isWired: (attachment) => !isChained && findLink(site.host, hostVethName({ network, ...attachment })) !== undefined,
    staying: () => [
      ...valid,
      ...(isChained ? [] : listLinked(site.host).flatMap(({ owner }) => (isOfNetwork(owner, network) ? owner : []))),
    ],
    // asked for by kinds that have links of their own
    get lostLinks() {
      return listLinked(site.host)
        .filter(({ owner, link }) => isOfNetwork(owner, network) && !kept.has(link.name))
        .map(({ link }) => link.name);
    },
    get lostPods() {
      return getRecords(parseLeaseFolder(call)).flatMap(({ owner, knowledge }): Selection["lostPods"] => {
        const { hostVeth, netns, cookie } = knowledge ?? {};
        if (hostVeth !== undefined || netns === undefined || cookie === undefined) return [];
        return kept.has(hostVethName({ network, ...owner })) ? [] : [{ owner: { network, ...owner }, netns, cookie }];
      });
    },
  };
}
