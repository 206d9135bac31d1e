import type { HostView } from "../host-view.ts";
import { families, type Family, type Ip, parseIp } from "../../net/ip.ts";
import type { Owner, PortsPart } from "../attachment.ts";
import {
  changeTable,
  filledTools,
  getTools,
  hasChain,
  hasRules,
  type Look,
  readTable,
  seenTable,
  type Tools,
} from "../firewall/iptables.ts";
import type { ChainRules } from "../firewall/chain-rules.ts";
import { areOfNetwork } from "../firewall/iptables-words.ts";
import type { Selection } from "../kind.ts";
import type { Undo } from "../undo.ts";
import {
  chainNames,
  chainOf,
  DNAT,
  entriesOf,
  formerChains,
  isChainOf,
  isLinkless,
  isReferences,
  portChains,
  removeChain,
  takenChains,
  targetOf,
  targetsOf,
} from "./chains.ts";
import { type Claim, claimedPorts, type TakeOver, UNKNOWN_LINK } from "./holder.ts";
import {
  chainRules,
  entryRules,
  LOCALHOST_RETURN,
  looksAt,
  type Own,
  ownRules,
  sharedRules,
} from "./iptables-rules.ts";
import { mappingsFor } from "./keys.ts";
import type { UdpPort } from "./stale-flows.ts";

// Port mappings by iptables: made, found, compared and removed. What the rules are is in iptables-rules.

/** Makes the mappings, by one iptables-restore per family; gives where those that gave way led. */
export function applyIptablesPorts(claim: Claim, hostLink: string | undefined, undo: Undo): Ip[] {
  const { owner, ports } = claim;
  return ports.addresses.flatMap((pod) => {
    const mappings = mappingsFor(pod, ports);
    if (mappings.length === 0) return [];
    const family = pod.ip.family;
    let former: Ip[] = [];
    changeTable(getTools(family), (nat) => {
      nat.load(looksAt(owner, ports));
      const chain = chainOf(nat, owner);
      const taken = takenChains(nat, family, claim).filter((other) => other !== chain);
      former = taken.flatMap((other) => targetsOf(nat, other));
      return [
        ...taken.flatMap((other) => removeChain(nat, other)),
        ...sharedRules(nat, ports),
        ...ownRules(nat, owner, { chain, pod, ports, mappings, hostLink: hostLink ?? UNKNOWN_LINK }),
      ];
    });
    undo.push("remove port mappings", () => removeFamily(owner, family));
    return former;
  });
}

/**
 * For the nftables backend, and where the iptables backend does not see: looks for claimed ports in table nat, throws
 * when a live pod has one, else gives what removes the chains of those who have. A tool is run only where there is
 * something to read.
 */
export function takeFromIptables(claim: Claim, toolsOf: (family: Family, look: Look) => Tools[]): TakeOver {
  const taken = claimedPorts(claim).flatMap(({ family }) =>
    toolsOf(family, hasRules(DNAT)).filter((tools) => takenChains(readTable(tools), family, claim).length > 0),
  );
  return () =>
    taken.flatMap((tools) => {
      let former: Ip[] = [];
      changeTable(tools, (nat) => {
        const chains = takenChains(nat, tools.family, claim);
        former = chains.flatMap((chain) => targetsOf(nat, chain));
        return chains.flatMap((chain) => removeChain(nat, chain));
      });
      return former;
    });
}

/** What was taken away: whether there was anything, where it led, and the UDP ports that flows may remember. */
export interface Removed {
  found: boolean;
  pods: Ip[];
  /** those of the pods that have no link of the host */
  linkless: Ip[];
  udp: UdpPort[];
}

export const nothingRemoved: Removed = { found: false, pods: [], linkless: [], udp: [] };

const together = (removed: readonly Removed[]): Removed => ({
  found: removed.some(({ found }) => found),
  pods: removed.flatMap(({ pods }) => pods),
  linkless: removed.flatMap(({ linkless }) => linkless),
  udp: removed.flatMap(({ udp }) => udp),
});

/**
 * Whose a chain is that names no interface, by the pods it leads to; whether the old iptables is looked into, and the
 * entries of all pods.
 */
interface Looks {
  isIts(led: readonly Ip[]): boolean;
  thorough: boolean;
}
const everywhere: Looks = { isIts: () => true, thorough: true };

/** Takes away the interface's chains, in both families; those of the container's other interfaces stay. */
export const removeIptablesPorts = (owner: Owner, looks = everywhere): Removed =>
  together(families.flatMap((family) => removeFamily(owner, family, looks)));

const removeFamily = (owner: Owner, family: Family, { isIts, thorough } = everywhere): Removed[] =>
  filledTools(family, hasChain(...(thorough ? [DNAT] : []), ...chainNames(owner)), thorough).map((tools) =>
    removeChains(tools, (nat) => {
      nat.load([DNAT, ...chainNames(owner)]);
      const chain = chainOf(nat, owner);
      return [
        ...(nat.has(chain) && (!isReferences(nat, chain) || isIts(targetsOf(nat, chain))) ? [chain] : []),
        ...(thorough ? formerChains(nat, owner) : []).filter((other) => other !== chain),
      ];
    }),
  );

/** Takes away the chains that `find` finds. */
function removeChains(tools: Tools, find: (nat: ChainRules) => string[]): Removed {
  let removed = nothingRemoved;
  changeTable(tools, (nat) => {
    const chains = find(nat);
    removed = {
      found: chains.length > 0,
      pods: chains.flatMap((chain) => targetsOf(nat, chain)),
      linkless: chains.filter((chain) => isLinkless(nat, chain)).flatMap((chain) => targetsOf(nat, chain)),
      udp: chains.flatMap((chain) => nat.get(chain) ?? []).flatMap((rule) => udpFlowOf(rule, tools.family) ?? []),
    };
    return chains.flatMap((chain) => removeChain(nat, chain));
  });
  return removed;
}

function udpFlowOf(rule: string, family: Family): UdpPort | undefined {
  const found = /^(?:-d (\S+)\/\d+ )?-p udp -m udp --dport (\d+) -j DNAT /.exec(rule);
  if (!found) return undefined;
  const address = found[1] === undefined ? undefined : parseIp(found[1]);
  return { family, hostPort: Number(found[2]), ...(address && { address }), pod: targetOf(rule) };
}

/**
 * GC: takes away the chains of the network's attachments that are not valid; the old iptables is read where it is asked
 * for.
 */
export function collectIptablesPorts({ network, staying }: Selection, isAsked: boolean): Removed {
  const isOurs = areOfNetwork("dnat ", network);
  return together(
    families
      .flatMap((family) => filledTools(family, hasRules(DNAT), isAsked))
      .map((tools) =>
        removeChains(tools, (nat) => {
          const all = portChains(nat);
          nat.load(all);
          const chains = all.filter((chain) => isOurs([...entriesOf(nat, chain), ...nat.get(chain)!]));
          const owners = staying().map(({ containerId, ifname }) => ({ network, containerId, ifname }));
          const isKept = (chain: string): boolean => owners.some((owner) => isChainOf(nat, chain, owner));
          return chains.filter((chain) => !isKept(chain));
        }),
      ),
  );
}

/** The pods that the chains of any plugin lead to. */
export const iptablesTargets = (family: Family): Ip[] =>
  filledTools(family, hasRules(DNAT)).flatMap((tools) => {
    const nat = readTable(tools);
    const chains = portChains(nat);
    nat.load(chains);
    return chains.flatMap((chain) => targetsOf(nat, chain));
  });

/** How mappings by iptables differ from the part, in words, and whether it was the reference that made them. */
export interface Comparison {
  differences: string[];
  isForeign: boolean;
}

/** What CHECK finds wrong. */
export function checkIptablesPorts(
  owner: Owner,
  ports: PortsPart,
  { toolsOf = getTools, view }: { toolsOf?: typeof getTools; view?: HostView | undefined } = {},
): Comparison {
  const found = ports.addresses.flatMap((pod) => {
    const mappings = mappingsFor(pod, ports);
    if (mappings.length === 0) return [];
    const nat = seenTable(toolsOf(pod.ip.family), view);
    nat.load(looksAt(owner, ports));
    const chain = chainOf(nat, owner);
    const isForeign = isReferences(nat, chain);
    const own: Own = { chain, pod, ports, mappings, hostLink: "" };
    const where = `iptables table nat (IPv${pod.ip.family})`;
    // the reference does nothing about [::1]
    const rules = chainRules(own).filter((rule) => rule !== LOCALHOST_RETURN || !isForeign);
    const lacks = (chain: string, wanted: readonly string[]): string[] =>
      wanted
        .filter((rule) => !nat.get(chain)?.includes(rule))
        .map((rule) => `${where}, chain ${chain}: lacks the rule ${rule}`);
    const differences = [
      ...sharedRules(nat, ports).map((line) => `${where}: lacks ${line.replace(/^-\w /, "")}`),
      ...lacks(chain, rules),
      ...missingEntries(nat, owner, own, where),
    ];
    return [{ differences, isForeign }];
  });
  return {
    differences: found.flatMap(({ differences }) => differences),
    isForeign: found.some(({ isForeign }) => isForeign),
  };
}

/**
 * Conditions are printed by iptables-save in an order and spelling of its own: entries that have some are compared
 * without them.
 */
function missingEntries(nat: ChainRules, owner: Owner, own: Own, where: string): string[] {
  const found = entriesOf(nat, own.chain);
  const plain = entryRules(owner, { ...own, ports: { ...own.ports, conditions: { 4: [], 6: [] } } });
  const hasConditions = own.ports.conditions[own.pod.ip.family].length > 0;
  const isThere = (rule: string): boolean => {
    const dports = /--dports (\S+)/.exec(rule)![1]!;
    return hasConditions ? found.some((other) => other.includes(`--dports ${dports} `)) : found.includes(rule);
  };
  return plain.filter((rule) => !isThere(rule)).map((rule) => `${where}, chain ${DNAT}: lacks the rule ${rule}`);
}
