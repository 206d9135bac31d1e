import type { Owner, Part, PartOf, PartName } from "../../../src/attachment/attachment.ts";
import type { Kind } from "../../../src/attachment/kind.ts";
import { kindOf } from "../../../src/attachment/kinds.ts";
import { Site } from "../../../src/attachment/site.ts";
import { Undo } from "../../../src/attachment/undo.ts";
import type { Invocation } from "../../../src/cni/invocation.ts";
import { quietLog } from "../../../src/cni/log.ts";
import type { Ip } from "../../../src/net/ip.ts";

// Parts of the firewall alone, as the verbs make, compare and remove them.

function siteOf(owner: Owner, hostLink: string): Site {
  const call: Invocation = {
    ...owner,
    verb: "ADD",
    netns: "",
    args: "",
    path: "",
    netnsOverride: false,
    stdin: new Uint8Array(0),
    config: {},
    cniVersion: "1.1.0",
    validAttachments: [],
    log: quietLog(),
  };
  return new Site(call, () => hostLink);
}

const kind = <K extends PartName>(name: K): Kind<PartOf<K>> => kindOf(name) as unknown as Kind<PartOf<K>>;

/** Makes the part; the function that is returned takes it back as a failed ADD does. */
export function apply(owner: Owner, part: Part, hostLink = "veth0"): () => void {
  const undo = new Undo();
  kindOf(part.kind).apply(part, siteOf(owner, hostLink), { undo, made: {} });
  return () => {
    const failures = undo.run();
    if (failures.length > 0) throw new Error(failures.join("; "));
  };
}

/** What CHECK finds. */
export const compare = (owner: Owner, part: Part, hostLink = "veth0"): string[] =>
  kindOf(part.kind).compare(part, siteOf(owner, hostLink), false);

/** Removes as DEL does: `asked` is what the configuration has, `addresses` what is known. */
export const remove = <K extends PartName>(name: K, owner: Owner, addresses: Ip[], asked?: PartOf<K>) =>
  kind(name).remove!({ owner, addresses, site: siteOf(owner, "veth0") }, asked);

export const collect = <K extends PartName>(
  name: K,
  network: string,
  valid: { containerId: string; ifname: string }[],
  asked?: PartOf<K>,
): void => {
  const site = siteOf({ network, containerId: "", ifname: "" }, "veth0");
  kind(name).collect!(
    { network, valid, isWired: () => false, staying: () => valid, lostLinks: [], lostPods: [], site, log: quietLog() },
    asked,
  );
};

export const assertTools = (part: Part): void => kindOf(part.kind).assertTools!(part);
export const statusOf = (part: Part): void => kindOf(part.kind).status!(part);
