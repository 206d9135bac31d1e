import { version } from "../../package.json";
import { monotonicMs } from "../kernel/clock.ts";
import { findText } from "../kernel/file.ts";
import { formatIp, type Ip, parseIp } from "../net/ip.ts";
import { examineNode, examinePods, firstFault, type NodeReport, type PodReport } from "../doctor/doctor.ts";
import type { Finding } from "../doctor/finding.ts";
import { attachedSince } from "../doctor/since.ts";
import { choosePod, podTitle } from "../survey/choose.ts";
import { BIN_DIRS } from "../survey/places.ts";
import { type Survey, takeSurvey } from "../survey/survey.ts";
import { UsageError } from "./arguments.ts";
import { command, Exit, type Said } from "./command.ts";
import { leaseOptions, placesOf } from "./lease-options.ts";
import { count, cut, formatFact, wrap } from "./terminal.ts";

/** Says what is wrong with a pod's network, or with the node's, and what mends it. */
export const doctor = command({
  name: "doctor",
  summary: "say what is wrong with a pod's network, or this node's, and what mends it",
  about: [
    "Walks the layers of a pod's network from top to bottom: namespace, link, bridge, address, lease, route, " +
      "gateway, forwarding, masquerade, ports, what chained plugins made, firewall. What should be is what the " +
      "runtime's remembered result and configuration say (CHECK over parts); without one, links, leases and rules " +
      "say less. Without a POD it looks at the whole node: what the runtime would use, how full ranges are, and " +
      "every pod.",
    "A FAULT says what was expected, what is, and what mends it. Changes nothing.",
  ],
  root: "look into pods",
  finds: "a fault",
  operands: {
    POD: {
      about:
        "namespace/pod or its beginning, a container id or its beginning, an address, an interface of the host, or a " +
        "namespace",
      optional: true,
    },
  },
  options: {
    ...leaseOptions,
    "--to": {
      value: "ADDRESS",
      about: "also the way from POD to this address: routes, the rules it meets, and five echo requests",
    },
    "--bin-dir": { value: "DIR", about: `where plugins are (${BIN_DIRS.join(", ")})` },
  },
  say(given) {
    const started = monotonicMs();
    const survey = takeSurvey(placesOf(given));
    if (survey.denied.length > 0) throw new Error(`${survey.denied.join("; ")}; run this as root`);
    const binDir = given.find("--bin-dir");
    const binDirs = binDir === undefined ? BIN_DIRS : [binDir];
    const [pod, to] = [given.find("POD"), given.find("--to")];
    if (to !== undefined && pod === undefined) throw new UsageError("--to needs a POD");
    if (pod !== undefined) {
      return sayPods(examinePods(survey, choosePod(survey.attachments, pod), { binDirs, to: addressOf(to) }));
    }
    return sayNode(survey, examineNode(survey, binDirs), () => monotonicMs() - started);
  },
});

function addressOf(to: string | undefined): Ip | undefined {
  const ip = to === undefined ? undefined : parseIp(to);
  if (to !== undefined && !ip) throw new UsageError(`--to is ${JSON.stringify(to)}, must be an IP address`);
  return ip;
}

const lineOf = ({ state, layer, what, expected, is, since, mend }: Finding): string =>
  formatFact({
    state,
    layer,
    text: what,
    more: {
      ...(expected !== undefined && { expected }),
      ...(is !== undefined && { is }),
      ...(since !== undefined && { since }),
      ...(mend !== undefined && { "mend it": mend }),
    },
  });

/** So many faults of one layer are shown: what one cause does in many places is read in one. */
const SHOWN = 2;

function folded(findings: readonly Finding[]): Finding[] {
  const isLike = (one: Finding, other: Finding): boolean => one.layer === other.layer && one.state === other.state;
  return findings.flatMap((finding, at) => {
    const before = findings.slice(0, at).filter((other) => isLike(finding, other)).length;
    const all = findings.filter((other) => isLike(finding, other)).length;
    if (before < SHOWN || all === SHOWN + 1) return [finding];
    return before === SHOWN
      ? [{ state: finding.state, layer: finding.layer, what: `${all - SHOWN} more (--json has all)` }]
      : [];
  });
}

const countState = (findings: readonly Finding[], wanted: Finding["state"]): number =>
  findings.filter(({ state }) => state === wanted).length;

function summary(faults: number, warnings: number, where: string): string {
  const parts = [count(faults, "fault"), ...(warnings > 0 ? [count(warnings, "warning")] : [])];
  return `${parts.join(", ")}${where}.`.replace(/^n/, "N");
}

const factsOf = ({ attached, hostLink, findings }: PodReport): object => ({
  pod: attached.pod,
  ...attached.owner,
  addresses: attached.addresses.map(formatIp),
  netns: attached.netns,
  since: attachedSince(attached),
  hostLink,
  findings,
});

function sayPods(reports: readonly PodReport[]): Said {
  const text = reports.flatMap(({ attached, title, hostLink, findings }) => [
    [
      title,
      ...attached.addresses.map(formatIp),
      hostLink === undefined ? attached.owner.ifname : `${attached.owner.ifname} <-> ${hostLink}`,
      attached.owner.network,
    ].join("   "),
    "",
    ...folded(findings).map(lineOf),
    "",
  ]);
  const all = reports.flatMap(({ findings }) => findings);
  const faults = new Set(all.filter(({ state }) => state === "FAULT").map(({ layer }) => layer)).size;
  const layers = new Set(all.map(({ layer }) => layer)).size;
  return {
    text: `${[...text, summary(faults, countState(all, "warn"), ` in ${count(layers, "layer")}`)].join("\n")}\n`,
    facts: { pods: reports.map(factsOf) },
    exit: faults > 0 ? Exit.found : Exit.fine,
  };
}

function sayNode(survey: Survey, { findings, pods }: NodeReport, elapsed: () => number): Said {
  const node = findText("/proc/sys/kernel/hostname")?.trim() ?? "this node";
  const kernel = /^\d+\.\d+/.exec(findText("/proc/sys/kernel/osrelease") ?? "")?.[0] ?? "?";
  const networks = new Set(pods.map(({ attached }) => attached.owner.network)).size;
  const broken = pods.filter((pod) => firstFault(pod)).toSorted((a, b) => (a.title < b.title ? -1 : 1));
  const podFinding = podsFinding(pods, broken);
  const all = [...findings, podFinding];
  const faults = countState(all, "FAULT");
  const there = `${count(pods.length, "pod")} of ${count(networks, "network")}`;
  const head = `${node}: ${there}, podwire ${version}, Linux ${kernel}`;
  const took = `Took ${(elapsed() / 1000).toFixed(1)} s`;
  const text = [
    wrap(head, { indent: "    " }),
    "",
    ...findings.map(lineOf),
    lineOf(podFinding),
    ...listBroken(broken),
    "",
    `${summary(faults, countState(all, "warn"), "")} ${took}.`,
  ];
  return {
    text: `${text.join("\n")}\n`,
    facts: { node, podwire: version, problems: survey.problems, findings: all, pods: pods.map(factsOf) },
    exit: faults > 0 ? Exit.found : Exit.fine,
  };
}

function podsFinding(pods: readonly PodReport[], broken: readonly PodReport[]): Finding {
  if (pods.length === 0) return { state: "skip", layer: "pods", what: "there is none on this node" };
  if (broken.length === 0) {
    return { state: "ok", layer: "pods", what: `${count(pods.length, "pod")}, each as it was made` };
  }
  const [one] = broken;
  return {
    state: "FAULT",
    layer: "pods",
    what: `${broken.length} of ${pods.length} are not as they were made`,
    mend:
      broken.length === 1
        ? `podwire doctor ${podTitle(one!.attached)} says how`
        : "podwire doctor POD says it of each; podwire repair",
  };
}

/** So many pods are listed. */
const LISTED = 20;
const MARGIN = " ".repeat(21);

/** One line a pod: who, where, and the first thing that does not work. */
function listBroken(broken: readonly PodReport[]): string[] {
  const lines = broken.slice(0, LISTED).map((report) => {
    const { attached, title } = report;
    const address = attached.addresses[0] ? formatIp(attached.addresses[0]) : "-";
    const begin = `${MARGIN}${cut(title, 24)}  ${address}  `;
    return wrap(firstFault(report)!.what, { first: begin, indent: `${MARGIN}  ` });
  });
  return [...lines, ...(broken.length > LISTED ? [`${MARGIN}... ${broken.length - LISTED} more`] : [])];
}
