import { formatIp, type Ip } from "../net/ip.ts";
import type { Survey } from "../survey/survey.ts";
import type { Surveyed } from "../survey/surveyed.ts";
import { type Finding, ok, warn } from "./finding.ts";
import { examineFirewall, findUplinks } from "./firewall-layer.ts";
import { Tables } from "./firewall/tables.ts";
import { type Look, takeLook } from "./look.ts";
import { examineLegacy, readLegacy } from "./legacy-layer.ts";
import { nodeLayers } from "./node-layers.ts";
import { examinePod } from "./pod/layers.ts";
import { partOf, type PodView, viewPod } from "./pod-view.ts";
import { examineWay } from "./way.ts";

/** What was found of one attachment. */
export interface PodReport {
  attached: Surveyed;
  title: string;
  hostLink: string | undefined;
  findings: Finding[];
}

/** What was found of the node: its own layers, and each pod's. */
export interface NodeReport {
  findings: Finding[];
  pods: PodReport[];
}

/** How one pod is looked at: its plugins' folders, and an address it should reach. */
export interface PodQuestion {
  binDirs: readonly string[];
  to?: Ip | undefined;
}

/** Looks at some attachments, thoroughly, and at nothing else. */
export function examinePods(survey: Survey, chosen: readonly Surveyed[], { binDirs, to }: PodQuestion): PodReport[] {
  return withLook(survey, { binDirs, isThorough: true }, (look) => reportPods(chosen, look, to));
}

/** Looks at the whole node. */
export function examineNode(survey: Survey, binDirs: readonly string[]): NodeReport {
  return withLook(survey, { binDirs, isThorough: false }, (look) => {
    const own = nodeLayers.flatMap((layer) => layer(look));
    const there = survey.attachments.filter(({ state }) => state !== "gone");
    const pods = reportPods(there, look);
    return { findings: [...own, ...sharedFaults(pods), ...goneFindings(survey)], pods: pods.map(withoutShared) };
  });
}

function withLook<T>(survey: Survey, options: Pick<Look, "binDirs" | "isThorough">, use: (look: Look) => T): T {
  const look = takeLook(survey, options);
  try {
    return use(look);
  } finally {
    look.host.close();
  }
}

function reportPods(chosen: readonly Surveyed[], look: Look, to?: Ip): PodReport[] {
  const uplinks = findUplinks(look);
  const legacy = readLegacy();
  const asked = new Set<string>();
  const reports = (tables: Tables | undefined): PodReport[] =>
    chosen.map((attached) => {
      const view = viewPod(attached, look);
      const findings = examinePod(view, look);
      if (look.isThorough || isFirstOfItsSort(view, asked)) {
        const older = examineLegacy(view, legacy);
        const found = tables ? examineFirewall(view, look, tables, uplinks) : [];
        // nothing is fine where some rules were not looked at
        findings.push(...found.filter(({ state }) => state !== "ok" || older.length === 0), ...older);
        if (tables && to) findings.push(...examineWay(view, look, tables, to));
      }
      return { attached, title: view.title, hostLink: view.hostLink?.name, findings };
    });
  return Tables.read(reports) ?? reports(undefined);
}

/** Rules tell networks apart, and who has host ports: of each sort one pod is followed through them. */
function isFirstOfItsSort(view: PodView, asked: Set<string>): boolean {
  const mapped = (partOf(view, "ports")?.mappings ?? []).map(({ hostPort, protocol }) => `${hostPort}/${protocol}`);
  const sort = `${view.attached.owner.network} ${mapped.join()}`;
  return asked.size < asked.add(sort).size;
}

/** Faults that are the node's, though a pod shows them, are said once: chains that drop, switches that are off. */
const isShared = ({ layer, state, what }: Finding): boolean =>
  layer === "firewall" ? state !== "ok" : state === "FAULT" && layer === "forwarding" && /^net\.\S*forward/.test(what);

/** A chain that drops for one subnet drops for all its pods; a switch is off for all. */
function sharedFaults(pods: readonly PodReport[]): Finding[] {
  const found = new Map<string, Finding>();
  for (const { findings } of pods) {
    for (const finding of findings.filter(isShared)) found.set(`${finding.what} ${finding.mend}`, finding);
  }
  const hasFirewall = pods.some(({ findings }) => findings.some(({ layer }) => layer === "firewall"));
  const drops = [...found.values()].some(({ layer }) => layer === "firewall");
  return [
    ...(hasFirewall && !drops ? [ok("firewall", "no chain surely drops what is forwarded for pods")] : []),
    ...found.values(),
  ];
}

const withoutShared = (report: PodReport): PodReport => ({
  ...report,
  findings: report.findings.filter((finding) => !isShared(finding)),
});

function goneFindings({ attachments }: Survey): Finding[] {
  const gone = attachments.filter(
    ({ state, leases, rules, record }) => state === "gone" && (leases.length > 0 || rules.length > 0 || record),
  );
  if (gone.length === 0) return [];
  const shown = gone.slice(0, 3).flatMap(({ addresses }) => addresses.slice(0, 1).map(formatIp));
  const more = gone.length > shown.length ? ", ..." : "";
  return [
    warn(
      "leftovers",
      `of ${gone.length} ${gone.length === 1 ? "pod that is" : "pods that are"} gone (${shown.join(", ")}${more})`,
      {
        mend: "podwire gc",
      },
    ),
  ];
}

/** The first thing that does not work, from top to bottom. */
export const firstFault = ({ findings }: Pick<PodReport, "findings">): Finding | undefined =>
  findings.find(({ state }) => state === "FAULT");
