import { overwriteFile } from "../kernel/file.ts";
import { takeSurvey } from "../survey/survey.ts";
import { describeGroup, fold, type Group, type MappedPod, readTopology, type Topology } from "../survey/topology.ts";
import { command } from "./command.ts";
import { leaseOptions, placesOf } from "./lease-options.ts";
import { formatDot } from "./map-dot.ts";
import { formatSvg } from "./map-svg.ts";
import { COLUMNS, count, goneAttachments, cut, wrap } from "./terminal.ts";

/** So many pods of a group are drawn, by text and in pictures; the others are counted. */
const SHOWN = { text: 8, picture: 24 };

/** Draws the pod network of this node. */
export const map = command({
  name: "map",
  summary: "a picture of this node's pod network, in the terminal or as a drawing",
  about: [
    "Draws what there is: uplinks, routes to other nodes, bridges and routed pods, each pod's address, link, VLAN " +
      "and ports of the node that lead to it. Nothing is changed. Large groups are folded to a few pods and a count.",
    "Names and ports of pods are those the runtime's results have.",
  ],
  root: "see all pods, and what is masqueraded",
  options: {
    "--all": { about: "every pod, not the first few of each bridge or network" },
    "--svg": { value: "FILE", about: "write a drawing (SVG), to look at with any browser" },
    "--dot": { about: "print a graph for Graphviz (podwire map --dot | dot -Tpng)" },
    ...leaseOptions,
  },
  say(given) {
    const { attachments, problems, denied } = takeSurvey(placesOf(given));
    const topology = readTopology(attachments);
    const warnings = [...problems, ...denied.map((what) => `${what}: run this as root to see everything`)];
    const facts = { ...topology, warnings };
    const folded = (most: number): Topology => (given.has("--all") ? topology : fold(topology, most));
    const file = given.find("--svg");
    if (file !== undefined) {
      overwriteFile(file, formatSvg(folded(SHOWN.picture)), 0o644);
      return { text: `wrote ${file}\n`, facts };
    }
    const text = given.has("--dot") ? formatDot(folded(SHOWN.picture)) : formatMap(folded(SHOWN.text), warnings);
    return { text, facts };
  },
});

/** The picture as text of 80 columns. */
function formatMap(topology: Topology, warnings: readonly string[] = []): string {
  const { hostname, uplinks, groups, gone } = topology;
  const lines = [
    hostname,
    "",
    ...(uplinks.length > 0
      ? uplinks.map(({ name, addresses, gateways }) =>
          wrap(`${[name, ...addresses].join("  ")}  default via ${gateways.join(", ")}`, { indent: "      " }),
        )
      : ["no default route"]),
    ...factLines(topology),
    ...groups.flatMap((group, at) => ["  |", ...groupLines(group, at === groups.length - 1)]),
    ...(groups.length === 0 ? ["  '-- no pods"] : []),
    ...(gone > 0 ? ["", wrap(`${goneAttachments(gone)}: podwire gc`)] : []),
    ...warnings.map((warning) => wrap(`warning: ${warning}`, { indent: "  " })),
  ];
  return `${lines.join("\n")}\n`;
}

const LABEL = 17;

/** What holds for the whole node: a label and its words; what belongs together stays on one line. */
function factLines({ others, masqueraded, ports }: Topology): string[] {
  const fact = (label: string, words: readonly string[]): string[] =>
    words.length === 0
      ? []
      : [
          wrap(words.map((each) => each.replaceAll(" ", "\0")).join(", "), {
            first: `  |-- ${label.padEnd(LABEL)} `,
            indent: `  |${" ".repeat(LABEL + 4)}`,
          }).replaceAll("\0", " "),
        ];
  const led = ports.slice(0, SHOWN.text).map(({ host, pod, port }) => `${host} -> ${pod}:${port}`);
  return [
    ...fact("to other nodes", others),
    ...fact(
      "masquerade",
      masqueraded.map(({ network, pods }) => `${network} (${count(pods, "pod")})`),
    ),
    ...fact("ports", [...led, ...(ports.length > led.length ? [`${ports.length - led.length} more`] : [])]),
  ];
}

/** Addresses of both families stand on one line where they take no more than this. */
const ADDRESSES = 26;

function groupLines(group: Group, isLast: boolean): string[] {
  const bar = isLast ? "   " : "  |";
  const { name, pods, size } = group;
  const heading = wrap(describeGroup(group), {
    first: `  ${isLast ? "'" : "|"}-- ${name.padEnd(LABEL)} `,
    indent: `${bar}${" ".repeat(LABEL + 4)}`,
  });
  const joined = pods.map(({ addresses }) => addresses.join(" "));
  const isShort = joined.every((addresses) => addresses.length <= ADDRESSES);
  const width = Math.max(
    1,
    ...(isShort ? joined : pods.map(({ addresses }) => addresses[0] ?? "")).map((w) => w.length),
  );
  const more = size - pods.length;
  return [
    heading,
    ...pods.flatMap((pod) =>
      podLines(isShort ? { ...pod, addresses: [pod.addresses.join(" ") || "-"] } : pod, bar, width),
    ),
    ...(more > 0 ? [`${bar}     ... ${more} more: podwire map --all`] : []),
  ];
}

/** Address, link and name; notes stand behind the name; a further address has a line of its own. */
function podLines(
  { addresses: [first = "-", ...others], link, title, notes }: MappedPod,
  bar: string,
  width: number,
): string[] {
  const begin = `${bar}     ${first.padEnd(width)}  ${link.padEnd(15)}  `;
  const note = notes.length > 0 ? `  ${notes.join(", ")}` : "";
  const name = cut(title, Math.max(12, COLUMNS - begin.length - note.length));
  return [`${begin}${name}${note}`.trimEnd(), ...others.map((address) => `${bar}     ${address}`)];
}
