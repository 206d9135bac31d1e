import type { Topology } from "../survey/topology.ts";

const quote = (text: string): string => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
/** Lines of one label. */
const label = (...lines: string[]): string =>
  quote(lines.filter((line) => line !== "").join("\n")).replaceAll("\n", "\\n");

/** A graph in Graphviz's language: uplinks, bridges or networks as clusters, pods. */
export function formatDot({ hostname, uplinks, others, groups }: Topology): string {
  const lines = [
    "graph podwire {",
    "  rankdir=LR; node [shape=box, fontname=monospace, fontsize=10];",
    `  node_0 [label=${label(hostname)}, style=bold];`,
    ...uplinks.flatMap(({ name, addresses, gateways }, at) => [
      `  uplink_${at} [label=${label(name, ...addresses, `default via ${gateways.join(", ")}`)}];`,
      `  uplink_${at} -- node_0;`,
    ]),
    ...(others.length > 0 ? [`  others [label=${label("other nodes", ...others)}];`, "  others -- node_0;"] : []),
    ...groups.flatMap(({ name, kind, addresses, pods, size }, at) => [
      `  subgraph cluster_${at} {`,
      `    label=${label(`${name}: ${kind}, ${size} pods`)};`,
      `    group_${at} [label=${label(name, ...addresses)}, style=rounded];`,
      ...pods.flatMap(({ title, addresses: own, link, notes, ports }, index) => [
        `    pod_${at}_${index} [label=${label(
          title,
          ...own,
          notes.join(", "),
          ...ports.map(({ host, pod }) => `${host} -> ${pod}`),
        )}];`,
        `    group_${at} -- pod_${at}_${index} [label=${label(link)}];`,
      ]),
      ...(size > pods.length
        ? [
            `    more_${at} [label=${label(`${size - pods.length} more`)}, shape=none];`,
            `    group_${at} -- more_${at};`,
          ]
        : []),
      "  }",
      `  node_0 -- group_${at};`,
    ]),
    "}",
  ];
  return `${lines.join("\n")}\n`;
}
