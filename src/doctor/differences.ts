import type { PartName } from "../attachment/attachment.ts";
import { fault, type Finding } from "./finding.ts";

/** The layer a kind of part belongs to, where its difference does not say it more exactly. */
const layers: Partial<Record<PartName, string>> = {
  bridge: "bridge",
  veth: "link",
  podLink: "link",
  movedLink: "link",
  host: "route",
  pod: "address",
  gateways: "gateway",
  masquerade: "masquerade",
  spoofCheck: "spoofcheck",
  ports: "ports",
  filter: "filter",
  sourceRoutes: "source",
};

/** What a difference begins with, and the layer that says. */
const beginnings: readonly [RegExp, string][] = [
  [/^route /, "route"],
  [/(^| )VLANs? /, "bridge"],
  [/^link .* is not a port of bridge |^hairpin mode of |^isolation of |^bridge /, "bridge"],
  [/^link /, "link"],
  [/^net\..*forward/, "forwarding"],
  [/^net\//, "forwarding"],
  [/ and .* are not the two ends /, "link"],
];

/** The layer in which a part differs, by the words CHECK has for it. */
export function layerOf(kind: PartName, difference: string): string {
  const said =
    kind === "host" || kind === "pod" || kind === "veth"
      ? beginnings.find(([begin]) => begin.test(difference))
      : undefined;
  if (said) return said[1];
  if (kind === "host" && difference.startsWith("address ")) return "gateway";
  return layers[kind] ?? kind;
}

/** A difference CHECK found as a finding; what it says of should and is stands apart. */
export function differenceFinding(kind: PartName, difference: string, mend: string): Finding {
  const [, is, expected] = / has (.*), not (.*)$/.exec(difference) ?? [];
  return fault(layerOf(kind, difference), difference, {
    ...(expected !== undefined && is !== undefined && { expected, is }),
    mend,
  });
}
