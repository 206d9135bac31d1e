import { describeOwner } from "../attachment/owner.ts";
import { findStat } from "../kernel/file.ts";
import { compareIps, formatIp, type Ip, sameIp } from "../net/ip.ts";
import type { LeaseState } from "../ipam/judgement.ts";
import {
  type Capacity,
  capacitiesOf,
  countStates,
  describeStates,
  findOverlaps,
  type Overlap,
  percentOf,
  stateNames,
} from "../survey/capacity.ts";
import type { SurveyPlaces } from "../survey/places.ts";
import { podTitle } from "../survey/choose.ts";
import { type Survey, takeSurvey } from "../survey/survey.ts";
import type { FoundLease, Surveyed } from "../survey/surveyed.ts";
import { command, type Said } from "./command.ts";
import { leaseOptions, placesOf } from "./lease-options.ts";
import { thousands } from "../net/text.ts";
import { release } from "./release.ts";
import { count, formatTable } from "./terminal.ts";

/** Lists the leases of a node as a table. */
export const leases = command({
  name: "leases",
  summary: "list who has the addresses of pods on this node, whether they still exist, how full ranges are",
  about: [
    "Lists who has the addresses of pods on this node, those host-local leased (podwire's or the reference's), and " +
      "those another IPAM plugin gave to pods that podwire wired, over every folder of leases at once. Then, for " +
      "every network that is configured on this node, how full its ranges are, and which networks hand out the same " +
      "addresses.",
    "State: live (its host veth or address is there), gone (its pod is provably gone: ADD takes it back when the " +
      "range runs short, GC and `podwire gc` at once), unknown (no proof of either), torn (the file is no lease, so " +
      "its address is not given to anybody), unreadable (whose it is cannot be read: run this as root).",
  ],
  root: "see whose leases and links these are",
  options: {
    ...leaseOptions,
    "--state": { value: "STATE", about: "only leases of this state", among: stateNames, repeated: true },
  },
  commands: [release],
  say: (given) => report({ ...placesOf(given), states: given.all("--state") }),
});

type Question = SurveyPlaces & { states: readonly string[] };

function report(question: Question): Said {
  const { dataDir, network, states } = question;
  if (dataDir !== undefined && !findStat(dataDir)) {
    throw new Error(
      `there is no folder ${dataDir}, so nothing was leased there; ` +
        `ipam.dataDir of a network's configuration, if it has that key, is what --data-dir must be`,
    );
  }
  const survey = takeSurvey(question);
  const rows = rowsOf(survey).filter(({ state }) => states.length === 0 || states.includes(state));
  const capacities = capacitiesOf(survey.networks, survey.leases);
  const warnings = warningsOf(survey);
  const where = network === undefined ? survey.dataDirs : survey.dataDirs.map((dir) => `${dir}/${network}`);
  const text = [
    rows.length > 0 ? format(rows) : describeNone(where, states),
    ...(states.length > 0 ? [] : totals(survey, rows)),
    ...capacities.map(describeCapacity),
    ...warnings.map((warning) => `warning: ${warning}`),
  ];
  const facts = {
    leases: rows.map(({ ip, pod, ...row }) => ({ pod: pod?.pod, address: formatIp(ip), ...row })),
    ranges: capacities.map((capacity) => ({ ...capacity, size: String(capacity.size), percent: percentOf(capacity) })),
    warnings,
  };
  return { text: `${text.join("\n")}\n`, facts };
}

const describeNone = (where: readonly string[], states: readonly string[]): string =>
  `no ${[states.join(" or "), "leases"].filter(Boolean).join(" ")} ` +
  (where.length > 0 ? `in ${where.join(", ")}` : "on this node");

/** An address and who has it; `-` where nobody says it. */
interface Row {
  pod: Surveyed | undefined;
  ip: Ip;
  network: string;
  dataDir: string;
  containerId: string;
  ifname: string;
  since: string;
  state: LeaseState;
}

/** Those of lease files, then those for which there is none: another IPAM plugin gave them to pods podwire wired. */
const rowsOf = ({ leases: found, attachments }: Survey): Row[] => [
  ...found.map((lease) => leaseRow(lease, attachments)),
  ...attachments.flatMap(otherRows).toSorted((a, b) => compareIps(a.ip, b.ip)),
];

const leaseRow = (lease: FoundLease, attachments: readonly Surveyed[]): Row => ({
  pod: attachments.find((attached) => attached.leases.includes(lease)),
  ip: lease.ip,
  network: lease.folder.network,
  dataDir: lease.folder.dataDir,
  containerId: lease.holder?.containerId ?? "-",
  ifname: lease.holder?.ifname ?? "-",
  since: `${new Date(Number(lease.modified / 1_000_000n)).toISOString().slice(0, 19)}Z`,
  state: lease.state,
});

const otherRows = (attached: Surveyed): Row[] =>
  attached.addresses
    .filter((ip) => !attached.leased.some((other) => sameIp(other, ip)))
    .map((ip) => ({ pod: attached, ip, ...attached.owner, dataDir: "-", since: "-", state: attached.state }));

/** One line a network: how many leases of which state. */
function totals({ leases: found }: Survey, rows: readonly Row[]): string[] {
  const names = [...new Set(found.map(({ folder }) => folder.network))];
  return names.map((name) => {
    const own = rows.filter(({ network }) => network === name);
    return `${name}: ${count(own.length, "address", "addresses")}, ${describeStates(countStates(own))}`;
  });
}

/** More addresses than anybody counts. */
const COUNTLESS = 1n << 40n;

function describeCapacity(capacity: Capacity): string {
  const { network, ranges, size, leased, states } = capacity;
  const all = size > COUNTLESS ? `some 2^${size.toString(2).length}` : thousands(size);
  const gone = states.gone ? `, ${thousands(states.gone)} by pods that are gone` : "";
  return `${network} ${ranges}: ${thousands(leased)} of ${all} leased (${percentOf(capacity)} %)${gone}`;
}

const warningsOf = ({ networks, attachments, problems, denied }: Survey): string[] => [
  ...findOverlaps(networks).map(describeOverlap),
  ...attachments.flatMap(leftovers),
  ...problems,
  ...denied.map((what) => `${what}: run this as root to see everything`),
];

const describeOverlap = ({ one, other, range }: Overlap): string =>
  `${one.name} (${one.file}) and ${other.name} (${other.file}) both hand out addresses of ${range}`;

/** Rules of an attachment nothing else is left of. */
const leftovers = ({ owner, link, record, leased, rules, cached }: Surveyed): string[] =>
  rules.length === 0 || link || record || cached || leased.length > 0
    ? []
    : [
        `rules of ${describeOwner(owner)}, of which nothing else is left: ${rules.join(", ")}; ` +
          `its DEL, or GC of the network, removes them`,
      ];

const format = (rows: readonly Row[]): string =>
  formatTable([
    ["POD", "ADDRESS", "NETWORK", "IFACE", "SINCE (UTC)", "STATE"],
    ...rows.map(({ pod, ip, network, containerId, ifname, since, state }) => [
      podTitle(pod ?? { owner: { containerId } }),
      formatIp(ip),
      network,
      ifname,
      since.slice(0, 16).replace("T", " "),
      state,
    ]),
  ]);
