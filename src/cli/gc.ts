import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { formatIp } from "../net/ip.ts";
import { podTitle } from "../survey/choose.ts";
import { gatherEvidence } from "../survey/evidence.ts";
import { judge, type Judgement, words } from "../survey/judgement.ts";
import { freeLease, removeAttachment } from "../survey/removal.ts";
import { type Survey, takeSurvey } from "../survey/survey.ts";
import type { FoundLease, Surveyed } from "../survey/surveyed.ts";
import { command, Exit, type Said } from "./command.ts";
import { leaseOptions, placesOf } from "./lease-options.ts";
import { wrap } from "./terminal.ts";

/** Removes what pods left that are provably gone. */
export const gc = command({
  name: "gc",
  summary: "remove what pods left behind that are provably gone: leases, rules, records",
  about: [
    "Removes leases, rules and records of pods that are provably gone, and lists each with the proof: its link is " +
      "not on the node, and its namespace not at its path any more, or the node was restarted since. What cannot be " +
      "proved is kept and listed. Works where the runtime never calls GC, beside one that runs.",
  ],
  root: "see and remove what pods left",
  finds: "something to remove and, by --dry-run, did not remove it",
  options: {
    ...leaseOptions,
    "--dry-run": { about: "say what would be removed, and change nothing" },
  },
  say(given) {
    const survey = takeSurvey(placesOf(given));
    if (survey.denied.length > 0) throw new Error(`${survey.denied.join("; ")}; run this as root`);
    return collect(survey, given.has("--dry-run"));
  },
});

/** What is said of one pod's leftovers. */
interface Entry {
  pod: string;
  network: string;
  addresses: string[];
  since: string;
  state: string;
  proof: string;
  /** what there is of it: "lease", "rules", "record" */
  left: string[];
  failures: string[];
}

function collect(survey: Survey, dryRun: boolean): Said {
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  const judged = survey.attachments
    .filter((attached) => leftOf(attached).length > 0)
    .map((attached) => ({ attached, ...judge(gatherEvidence(attached, host, survey.liveness)) }));
  host.close();
  const entries = [
    ...judged
      .filter(({ state }) => state !== "live")
      .map(({ attached, ...judgement }) => ({
        ...entryOf(attached, judgement),
        failures: judgement.state === "gone" && !dryRun ? removeAttachment(attached, survey.dataDirs) : [],
      })),
    ...survey.leases.filter(isNobodys).map((lease) => collectLease(lease, dryRun)),
  ];
  const [removed, kept] = [
    entries.filter(({ state }) => state === "gone"),
    entries.filter(({ state }) => state !== "gone"),
  ];
  const failed = entries.some(({ failures }) => failures.length > 0);
  const text = [...entries.map((entry) => describe(entry, dryRun)), summary(removed.length, kept.length, dryRun)];
  return {
    text: `${text.join("\n")}\n`,
    facts: { removed, kept, dryRun },
    exit: failed ? Exit.failed : dryRun && removed.length > 0 ? Exit.found : Exit.fine,
  };
}

const leftOf = ({ record, leases, rules }: Surveyed): string[] => [
  ...(leases.length > 0 ? ["lease"] : []),
  ...(rules.length > 0 ? ["rules"] : []),
  ...(record ? ["record"] : []),
];

const dateOf = (nanoseconds: bigint): string => new Date(Number(nanoseconds / 1_000_000n)).toISOString().slice(0, 10);

const entryOf = (attached: Surveyed, { state, proof }: Judgement): Omit<Entry, "failures"> => ({
  pod: podTitle(attached),
  network: attached.owner.network,
  addresses: attached.addresses.map(formatIp),
  since: attached.leases[0] ? dateOf(attached.leases[0].modified) : "",
  state,
  proof,
  left: leftOf(attached),
});

/** A file that names a container and no interface, or that is no lease, is no attachment's. */
const isNobodys = ({ holder, state }: FoundLease): boolean => state !== "live" && holder?.ifname === undefined;

const proofs: Record<string, string> = {
  gone: `${words.older}, and ${words.unused}`,
  unknown: `${words.unused}, ${words.younger}`,
  torn: "what is there is no lease; free it: podwire leases release",
  unreadable: "whose it is cannot be read",
};

function collectLease(lease: FoundLease, dryRun: boolean): Entry {
  const failures: string[] = [];
  if (lease.state === "gone" && !dryRun) freeLease(lease);
  return {
    pod: lease.holder ? podTitle({ owner: lease.holder }) : "nobody",
    network: lease.folder.network,
    addresses: [formatIp(lease.ip)],
    since: dateOf(lease.modified),
    state: lease.state,
    proof: `${proofs[lease.state] ?? ""}${lease.state === "torn" ? ` ${formatIp(lease.ip)}` : ""}`,
    left: ["lease"],
    failures,
  };
}

function describe({ network, addresses, pod, since, state, proof, left, failures }: Entry, dryRun: boolean): string {
  const what = left.join(", ");
  const done =
    state !== "gone"
      ? "kept; it cannot be proved gone: " + proof
      : `${proof}: ${what} ${dryRun ? "would be removed" : failures.length > 0 ? "not all removed" : "removed"}`;
  const who = `${[network, ...addresses].join(" ")} (${pod}${since && `, since ${since}`})`;
  return [`${who}: ${done}`, ...failures.map((failure) => `failed: ${failure}`)]
    .map((line) => wrap(line, { indent: "    " }))
    .join("\n");
}

const summary = (removed: number, kept: number, dryRun: boolean): string =>
  removed + kept === 0
    ? "Nothing is left of pods that are gone."
    : `${removed} ${dryRun ? "would be removed" : "removed"}, ${kept} kept.${dryRun ? " Nothing was changed." : ""}`;
