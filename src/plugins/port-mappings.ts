import type { Backend, PortMapping, PortsPart } from "../attachment/attachment.ts";
import { ip } from "../cni/fields.ts";
import {
  choice,
  type Complaint,
  decoded,
  flag,
  type Infer,
  integer,
  list,
  optional,
  optionalOrEmpty,
  orElse,
  shape,
  text,
} from "../cni/schema.ts";
import { families, type Family, type Prefix, sameIp } from "../net/ip.ts";

const protocols = ["tcp", "udp", "sctp"] as const;
/** containerd and CRI-O write it in lower case, Kubernetes itself in upper case. */
const protocol = decoded(
  (value) => protocols.find((name) => typeof value === "string" && name === value.toLowerCase()),
  "tcp, udp or sctp",
);

/** `runtimeConfig.portMappings`, the capability of that name. */
export const portMappingList = list(
  shape({ hostPort: integer(1, 65535), containerPort: integer(1, 65535), protocol, hostIP: optionalOrEmpty(ip) }),
);

// Conditions and chain names end up in lines that iptables-restore or nft read.
const isWord = (word: string): boolean => !/[\0\r\n]/.test(word);
const conditions = orElse(list(text("text on one line", isWord)), []);
/** What a word must not hold: where nft's language ends a command, and where a comment begins. */
const ends = { nftables: /[;#]/, iptables: /#/ };

/** The keys of portmap's configuration, but for runtimeConfig. */
export const portMappingFields = {
  backend: optional(choice("nftables", "iptables")),
  snat: orElse(
    decoded((value) => (typeof value === "boolean" ? value : undefined), "true or false"),
    true,
  ),
  masqAll: flag(),
  markMasqBit: optional(integer(0, 31)),
  externalSetMarkChain: optional(text("the name of an iptables chain", (name) => /^[^\s"\\-]\S{0,27}$/.test(name))),
  conditionsV4: conditions,
  conditionsV6: conditions,
};
const policyShape = shape(portMappingFields);
type Policy = Infer<typeof policyShape>;
/** The keys with their defaults, and the mappings. */
export type PortMappingConfig = Policy & { runtimeConfig?: { portMappings?: Infer<typeof portMappingList> } };

/** Judged as the reference does, by how the first one begins: iptables arguments, or text in nft's language. */
const kindOf = ([first = ""]: readonly string[] = []): "iptables" | "nftables" | undefined =>
  first === "" ? undefined : /^[-!]/.test(first) ? "iptables" : "nftables";

/** The backend asked for, else the one that can do what the keys ask for, else nftables. */
export function chooseBackend({ backend, externalSetMarkChain, conditionsV4, conditionsV6 }: Partial<Policy>): Backend {
  const needsIptables =
    externalSetMarkChain !== undefined || [conditionsV4, conditionsV6].some((list) => kindOf(list) === "iptables");
  return backend ?? (needsIptables ? "iptables" : "nftables");
}

/** What does not go together: for `shape`'s rules. */
export function portMappingComplaints(config: Partial<Policy>): Complaint[] {
  const backend = chooseBackend(config);
  const wrongKind = (["conditionsV4", "conditionsV6"] as const).filter(
    (key) => ![undefined, backend].includes(kindOf(config[key])),
  );
  return [
    ...(config.externalSetMarkChain !== undefined && config.markMasqBit !== undefined
      ? [{ at: "markMasqBit", must: "must not come together with externalSetMarkChain" }]
      : []),
    ...(config.externalSetMarkChain !== undefined && backend === "nftables"
      ? [{ at: "externalSetMarkChain", must: 'must not be there with "backend": "nftables"' }]
      : []),
    ...(["conditionsV4", "conditionsV6"] as const)
      .filter((key) => !wrongKind.includes(key) && config[key]?.some((word) => ends[backend].test(word)))
      .map((at) => ({ at, must: `must be without ${backend === "nftables" ? "; and # in nft's language" : "#"}` })),
    ...wrongKind.map((at) => ({
      at,
      must:
        backend === "nftables"
          ? 'must be text in nft\'s language with "backend": "nftables"'
          : "must be arguments of iptables, the first of which begins with - or !",
    })),
  ];
}

/** The pod's mappings as a part; `addresses` are the pod's, of which the first of each family counts. */
export function planPorts(config: PortMappingConfig, addresses: readonly Prefix[]): PortsPart {
  const written = config.runtimeConfig?.portMappings ?? [];
  const mappings = written.map(({ hostIP, ...rest }): PortMapping => ({ ...rest, ...(hostIP && { hostIp: hostIP }) }));
  const concerns = (family: Family) => mappings.some(({ hostIp }) => !hostIp || hostIp.family === family);
  return {
    kind: "ports",
    backend: chooseBackend(config),
    mappings: unique(mappings),
    addresses: families.flatMap((family) =>
      concerns(family) ? (addresses.find(({ ip }) => ip.family === family) ?? []) : [],
    ),
    snat: config.snat,
    masqAll: config.masqAll,
    markMasqBit: config.markMasqBit ?? 13,
    ...(config.externalSetMarkChain !== undefined && { externalSetMarkChain: config.externalSetMarkChain }),
    conditions: { 4: config.conditionsV4, 6: config.conditionsV6 },
  };
}

/** One host port leads to one port of the pod: of several mappings of the same one, the first counts. */
const unique = (mappings: PortMapping[]): PortMapping[] =>
  mappings.filter((mapping, at) => mappings.findIndex((other) => sameHostPort(mapping, other)) === at);

const sameHostPort = (a: PortMapping, b: PortMapping): boolean =>
  a.hostPort === b.hostPort &&
  a.protocol === b.protocol &&
  (a.hostIp && b.hostIp ? sameIp(a.hostIp, b.hostIp) : a.hostIp === b.hostIp);
