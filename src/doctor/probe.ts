import { PodNamespace } from "../attachment/pod-namespace.ts";
import { askEcho, openEcho } from "../kernel/echo.ts";
import { close, SystemError } from "../kernel/linux.ts";
import type { NetlinkSocket } from "../kernel/netlink.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { type Counters, decodeCounters, getCounters } from "../netlink/rtnetlink/counters.ts";
import { fault, type Finding, ok, warn } from "./finding.ts";
import type { Look } from "./look.ts";

const LAYER = "probe";
const REQUESTS = 5;
/** ARP asks once a second: fewer frames than requests are sent where nobody answers it */
const TIMEOUT_MS = 1_000;

/** The links a pod's packets pass: the pod's own, the host's end of it, and that by which they leave the node. */
export interface Links {
  inPod: string;
  host: string;
  /** absent where they do not leave it */
  out?: string | undefined;
}

type Passed = "the pod" | "host" | "out" | undefined;

/** Sends echo requests from a pod; without an answer, says how far counters of links prove that they did not come. */
export const probe = (netns: string, to: Ip, links: Links, { host }: Look): Finding =>
  PodNamespace.use(netns, (pod) => {
    const asked = `${REQUESTS} echo requests to ${formatIp(to)}`;
    const read = (): (bigint | undefined)[] => [
      countersOf(pod.socket, links.inPod)?.sent,
      countersOf(host, links.host)?.received,
      links.out === undefined ? undefined : countersOf(host, links.out)?.sent,
    ];
    const before = read();
    const answered = ask(pod, to);
    if (answered instanceof SystemError) {
      return fault(LAYER, `${asked}: ${answered.message}`, { mend: seeRules(links) });
    }
    if (answered > 0) return ok(LAYER, `${answered} of ${asked} answered`);
    const after = read();
    const lost = after.findIndex((count, at) => isShort(before[at], count));
    return judge(asked, links, (["the pod", "host", "out"] as const)[lost]);
  });

const isShort = (before: bigint | undefined, after: bigint | undefined): boolean =>
  before !== undefined && after !== undefined && after - before < BigInt(REQUESTS);

/** A link that counted fewer packets was not passed; one that counted as many may have counted others. */
function judge(asked: string, links: Links, lost: Passed): Finding {
  if (lost === "the pod") {
    const mend = "nsenter into the pod: ip neighbour, nft list ruleset";
    return fault(LAYER, `${asked}: no answer; they did not leave the pod by ${links.inPod}`, { mend });
  }
  if (lost === "host") {
    return fault(LAYER, `${asked}: no answer; they left the pod, and did not come to ${links.host}`, {
      mend: `tc -s qdisc show dev ${links.host}`,
    });
  }
  if (lost === "out") {
    const what = `${asked}: no answer; last seen on ${links.host}: they did not leave by ${links.out}`;
    return fault(LAYER, what, { mend: seeRules(links) });
  }
  const last = links.out ?? links.host;
  return warn(LAYER, `${asked}: no answer; last seen on ${last}, by its counter, which counts others' packets too`, {
    mend: "who is there may answer no echo, or not know the way back to the pod",
  });
}

const seeRules = ({ out }: Links): string =>
  `nft list ruleset, iptables-save${out === undefined ? "" : `, ip neighbour show dev ${out}`} say why`;

function ask(pod: PodNamespace, to: Ip): number | SystemError {
  let fd: number | undefined;
  try {
    fd = pod.enter(() => openEcho(to));
    return askEcho(fd, to, REQUESTS, TIMEOUT_MS);
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  } finally {
    if (fd !== undefined) close(fd);
  }
}

function countersOf(socket: NetlinkSocket, name: string): Counters | undefined {
  const reply = socket.find(getCounters(name));
  return reply && decodeCounters(reply);
}
