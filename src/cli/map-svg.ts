import { describeGroup } from "../survey/topology.ts";
import type { Group, MappedPod, Topology } from "../survey/topology.ts";
import { visible } from "../net/text.ts";
import { cut } from "./terminal.ts";

// A drawing that needs nothing but itself: fixed columns of boxes, and lines that run between them. All text is
// monospace, so that what fits is known.

const WIDTH = 1000;
const MARGIN = 24;
/** where the trunk runs down from the uplinks */
const TRUNK = MARGIN + 16;
const PANEL = { x: TRUNK + 24, width: WIDTH - MARGIN - TRUNK - 24 };
const COLUMNS = 4;
const GAP = 20;
const BOX = { width: (PANEL.width - GAP) / COLUMNS - GAP, height: 74 };
const ROW = BOX.height + 14;
const LINE = 15;
/** of a monospace font of 12 pixels */
const CHARACTER = 7.25;

const escape = (text: string): string =>
  visible(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

interface At {
  x: number;
  y: number;
}

/** Text that is cut to a width in pixels. */
const text = (words: string, { x, y }: At, width: number, style = ""): string =>
  `<text x="${x}" y="${y}"${style && ` class="${style}"`}>${escape(cut(words, Math.floor(width / CHARACTER)))}</text>`;
const box = ({ x, y }: At, width: number, height: number, style: string): string =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="5" class="${style}"/>`;
const line = (from: At, to: At): string => `<path d="M${from.x} ${from.y}L${to.x} ${to.y}"/>`;

const STYLE =
  "text{font:12px 'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2933}" +
  ".title{font-weight:bold}.faint{fill:#52606d}.warn{fill:#b42318;font-weight:bold}.page{fill:#fff}" +
  ".node{fill:#e0ecff;stroke:#2f5fb3}.panel{fill:#f5f7fa;stroke:#cbd2d9}.bar{fill:#d9f2e3;stroke:#2f855a}" +
  ".pod{fill:#fff;stroke:#7b8794}.down{fill:#fdecea;stroke:#b42318}path{stroke:#7b8794;fill:none}";

/** The drawing of a node's pod network, as an SVG document. */
export function formatSvg(topology: Topology): string {
  const head = drawHead(topology);
  let y = MARGIN + head.height;
  let last = y;
  const panels = topology.groups.map((group) => {
    const top = y + GAP;
    y = top + heightOf(group);
    last = top + 17;
    return `${line({ x: TRUNK, y: last }, { x: PANEL.x, y: last })}${drawGroup(group, top)}`;
  });
  const height = y + MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">`,
    `<style>${STYLE}</style>`,
    box({ x: 0, y: 0 }, WIDTH, height, "page"),
    line({ x: TRUNK, y: MARGIN + head.height }, { x: TRUNK, y: last }),
    ...head.parts,
    ...panels,
    "</svg>\n",
  ].join("\n");
}

/** The node with its uplinks on the left, what is known of the way to other nodes on the right. */
function drawHead({ hostname, uplinks, others, masqueraded, ports }: Topology): { parts: string[]; height: number } {
  const own = uplinks.flatMap(({ name, addresses, gateways }) => [
    [name, ...addresses].join("  "),
    `  default via ${gateways.join(", ")}`,
  ]);
  const right = [
    ...masqueraded.map(({ network, pods }) => `masquerades ${network}: ${pods} pods`),
    ...others.map((route) => `to other nodes: ${route}`),
    ...ports.map(({ host, pod, port }) => `${host} -> ${pod}:${port}`),
  ];
  const shown = [...right.slice(0, 8), ...(right.length > 8 ? [`${right.length - 8} more`] : [])];
  const lines = Math.max(1 + own.length, shown.length);
  const height = 20 + lines * LINE;
  const half = (WIDTH - 2 * MARGIN) / 2;
  return {
    height,
    parts: [
      box({ x: MARGIN, y: MARGIN }, WIDTH - 2 * MARGIN, height, "node"),
      text(hostname, { x: MARGIN + 12, y: MARGIN + 20 }, half, "title"),
      ...own.map((words, at) => text(words, { x: MARGIN + 12, y: MARGIN + 20 + (at + 1) * LINE }, half - 24)),
      ...shown.map((words, at) => text(words, { x: WIDTH / 2, y: MARGIN + 20 + at * LINE }, half - 12, "faint")),
    ],
  };
}

const cellsOf = ({ pods, size }: Group): number => pods.length + (size > pods.length ? 1 : 0);
const heightOf = (group: Group): number => 34 + Math.ceil(cellsOf(group) / COLUMNS) * ROW + 14;

/** A panel: the bridge, or what else the pods have in common, as a bar, and its pods in rows below. */
function drawGroup(group: Group, y: number): string {
  const { name, pods, size, isDown } = group;
  const place = (at: number): At => ({
    x: PANEL.x + GAP + (at % COLUMNS) * (BOX.width + GAP),
    y: y + 48 + Math.floor(at / COLUMNS) * ROW,
  });
  const cells = cellsOf(group);
  const rails = Array.from({ length: Math.min(COLUMNS, cells) }, (_, column) => {
    const lowest = column + COLUMNS * Math.floor((cells - 1 - column) / COLUMNS);
    const x = place(column).x - GAP / 2;
    return line({ x, y: y + 34 }, { x, y: place(lowest).y + BOX.height / 2 });
  });
  const stubs = Array.from({ length: cells }, (_, at) => {
    const to = { x: place(at).x, y: place(at).y + BOX.height / 2 };
    return line({ x: to.x - GAP / 2, y: to.y }, to);
  });
  const heading = `${name}: ${describeGroup(group)}`;
  return [
    box({ x: PANEL.x, y }, PANEL.width, heightOf(group), "panel"),
    box({ x: PANEL.x, y }, PANEL.width, 34, isDown ? "down" : "bar"),
    text(heading, { x: PANEL.x + 12, y: y + 22 }, PANEL.width - 24, "title"),
    ...rails,
    ...stubs,
    ...pods.map((pod, at) => drawPod(pod, place(at))),
    ...(size > pods.length
      ? [
          text(
            `${size - pods.length} more`,
            { x: place(pods.length).x + 8, y: place(pods.length).y + 38 },
            BOX.width,
            "title",
          ),
        ]
      : []),
  ].join("\n");
}

function drawPod({ title, addresses, link, notes, ports }: MappedPod, { x, y }: At): string {
  const isDown = notes.includes("down");
  const extra = [...notes, ...ports.map(({ host, pod }) => `${host} -> ${pod}`)].join(", ");
  const rows: [words: string, style: string][] = [
    [title, "title"],
    [addresses.join(" "), ""],
    [link, "faint"],
    [extra, isDown ? "warn" : "faint"],
  ];
  return [
    `<g><title>${escape([title, ...addresses, link, extra].filter(Boolean).join("\n"))}</title>`,
    box({ x, y }, BOX.width, BOX.height, isDown ? "down" : "pod"),
    ...rows
      .filter(([words]) => words !== "")
      .map(([words, style], row) => text(words, { x: x + 8, y: y + 18 + row * LINE }, BOX.width - 16, style)),
    "</g>",
  ].join("");
}
