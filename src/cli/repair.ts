import { HostView } from "../attachment/host-view.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { choosePod, podTitle } from "../survey/choose.ts";
import { type Repaired, repairAttachment } from "../survey/mending.ts";
import { takeSurvey } from "../survey/survey.ts";
import { RESULTS_FOLDER, type SurveyPlaces } from "../survey/places.ts";
import { command, Exit, type Said } from "./command.ts";
import { leaseOptions, placesOf } from "./lease-options.ts";
import { count, goneAttachments, wrap } from "./terminal.ts";

/** Makes attachments whole again. */
export const repair = command({
  name: "repair",
  summary: "make pods' networks whole again: links, addresses, routes, forwarding, firewall",
  about: [
    "Compares what is there with what ADD made, by the results the runtime keeps, and puts right what differs " +
      "under running pods: after `nft flush ruleset`, `iptables -t nat -F` or a firewall's reload; where a bridge " +
      "was deleted, forwarding switched off or a link set down; where addresses, routes or sysctls are gone. Says " +
      "each thing it does.",
    "What other plugins made is left alone and named. A pod whose own link is gone must be restarted.",
  ],
  root: "change links, routes and the firewall",
  finds: "something differs still (with --dry-run: or would be mended)",
  operands: { POD: { about: "only this pod: namespace/name, container id, address, interface", optional: true } },
  options: {
    "--dry-run": { about: "say what would be done, and change nothing" },
    ...leaseOptions,
  },
  say: (given) => report(placesOf(given), { pod: given.find("POD"), dryRun: given.has("--dry-run") }),
});

interface Question {
  pod: string | undefined;
  dryRun: boolean;
}

function report(places: SurveyPlaces, { pod, dryRun }: Question): Said {
  const { attachments, liveness, problems, denied } = takeSurvey(places);
  if (denied.length > 0) throw new Error(`${denied.join("; ")}: run this as root`);
  const chosen = pod === undefined ? attachments : choosePod(attachments, pod);
  const alive = chosen.filter(({ state }) => state !== "gone");
  const gone = chosen.length - alive.length;
  // where nothing is changed, the host is read once
  const host = dryRun ? NetlinkSocket.open(NETLINK_ROUTE) : undefined;
  const view = host && new HostView(host);
  const repaired = alive.map((attached) => repairAttachment(attached, { dryRun, liveness, view }));
  host?.close();
  const lines = [
    ...stepLines(repaired, dryRun),
    ...repaired.flatMap(leftLines),
    ...restartLines(repaired),
    ...othersLines(repaired),
    ...unknownLines(repaired, places.resultsFolder ?? RESULTS_FOLDER),
    ...problems.map((problem) => `warning: ${problem}`),
    ...(gone > 0 ? [`left alone: ${goneAttachments(gone)}: podwire gc`] : []),
    summary(repaired, dryRun),
  ];
  return {
    text: `${lines.map((line) => wrap(line, { indent: "    " })).join("\n")}\n`,
    facts: { dryRun, attachments: repaired.map(factsOf), gone, problems },
    exit: exitOf(repaired, dryRun),
  };
}

const factsOf = ({ attached: { owner, pod }, steps, left, known, others }: Repaired): object => ({
  ...owner,
  pod,
  known,
  steps: steps.map(({ what }) => what),
  left,
  others,
});

function exitOf(repaired: readonly Repaired[], dryRun: boolean): (typeof Exit)[keyof typeof Exit] {
  if (repaired.some(({ left, steps }) => left.length > 0 || (dryRun && steps.length > 0))) return Exit.found;
  return repaired.some(({ known }) => known === "unknown") ? Exit.failed : Exit.fine;
}

const titleOf = ({ attached }: Repaired): string =>
  podTitle(attached) + (attached.owner.ifname === "eth0" ? "" : ` ${attached.owner.ifname}`);

const past: Readonly<Record<string, string>> = {
  add: "added",
  create: "created",
  lead: "led",
  lease: "leased",
  let: "let",
  make: "made",
  plug: "plugged",
  set: "set",
  shape: "shaped",
  switch: "switched",
  write: "wrote",
};

/** "add route ..." as what was done, or would be. */
const told = (what: string, dryRun: boolean): string =>
  dryRun ? `would ${what}` : what.replace(/^\w+/, (verb) => past[verb] ?? verb);

/** What is of the node is said once, without a pod's name: many pods would have it mended. */
function stepLines(repaired: readonly Repaired[], dryRun: boolean): string[] {
  const lines = repaired.flatMap((each) =>
    each.steps.map(({ what, isShared }) => `${isShared ? "node" : titleOf(each)}: ${told(what, dryRun)}`),
  );
  return [...new Set(lines)];
}

const leftLines = (each: Repaired): string[] => each.left.map((what) => `${titleOf(each)}: differs: ${what}`);

/** Said once, where a difference itself does not say what mends it. */
const restartLines = (repaired: readonly Repaired[]): string[] =>
  repaired.some(({ left }) => left.some((what) => !what.includes("restart the pod")))
    ? ["what differs still is made anew with its pod, or somebody else's: podwire doctor POD"]
    : [];

/** So many names are listed. */
const LISTED = 10;

function listTitles(some: readonly Repaired[]): string {
  const names = [...new Set(some.map(titleOf))];
  const more = names.length > LISTED ? `, and ${names.length - LISTED} more` : "";
  return names.slice(0, LISTED).join(", ") + more;
}

function othersLines(repaired: readonly Repaired[]): string[] {
  const foreign = repaired.filter(({ known }) => known === "other");
  const types = [...new Set(repaired.flatMap(({ others }) => others))];
  return [
    ...(foreign.length > 0 ? [`left alone, as another plugin made it: ${listTitles(foreign)}`] : []),
    ...types.map((type) => {
      const having = repaired.filter(({ others }) => others.includes(type));
      return `left alone: what ${type} made, which is none of podwire's: ${listTitles(having)}`;
    }),
  ];
}

const unknownLines = (repaired: readonly Repaired[], folder: string): string[] => {
  const unknown = repaired.filter(({ known }) => known === "unknown");
  return unknown.length === 0
    ? []
    : [
        `not known what it should be, as ${folder} has no result of it (only that its link must be up): ` +
          `${listTitles(unknown)}; say where the runtime keeps results by --results-dir, or restart the pod`,
      ];
};

function summary(repaired: readonly Repaired[], dryRun: boolean): string {
  const steps = stepLines(repaired, dryRun).length;
  const concerned = new Set(repaired.filter((each) => each.steps.length > 0).map(titleOf)).size;
  const all = new Set(repaired.map(titleOf)).size;
  const differing = repaired.filter(({ left }) => left.length > 0).length;
  const pods = `${concerned} of ${count(all, "pod")}`;
  const left = differing > 0 ? ` ${count(differing, "attachment differs", "attachments differ")} still.` : "";
  if (steps === 0) return left === "" ? `Nothing to do in ${count(all, "pod")}.` : left.trim();
  const things = count(steps, "thing");
  return dryRun ? `${things} to mend in ${pods}. Nothing was changed.${left}` : `${things} mended in ${pods}.${left}`;
}
