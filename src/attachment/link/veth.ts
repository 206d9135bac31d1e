import { CniError, Code } from "../../cni/error.ts";
import { isErrno } from "../../kernel/linux.ts";
import { createVeth, decodeLink, getLink, type Link, setAlias, setLink } from "../../netlink/rtnetlink/link.ts";
import type { VethPart } from "../attachment.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import type { Kind, Step } from "../kind.ts";
import { linkAlias } from "../owner.ts";
import type { Site } from "../site.ts";
import { IN_POD, stepOf } from "../step.ts";
import { applySysctls, compareSysctls, mendSysctls } from "../sysctls.ts";
import { wantedMtu } from "../tuning/wanted-mtu.ts";
import type { Undo } from "../undo.ts";
import { attachedAlready, beyondMending, compareLink, nameTaken } from "./own-link.ts";
import { findLink } from "./links.ts";
import { comparePort } from "./compare-port.ts";
import { mendLink, mendPort } from "./mending.ts";
import { plugMessages } from "./port.ts";
import { hostSide, waitForLink } from "./readiness.ts";
import { collectVeths, removeLink, removeVeth } from "./removal.ts";

/** The attachment's own link, and everything that goes with it. */
export const veth: Kind<VethPart> = {
  apply(part, site, { undo, made }) {
    const link = createPair(part, site, undo, part.plug && made.bridge!.index);
    made.veth = link;
    made.pod = { index: link.peer!, ...part.pod, hasCarrier: true, isWatched: true };
    applySysctls(part.host.sysctls, site.log);
    site.host.request([...(part.plug ? plugMessages(link, part.plug) : []), setLink(link, { up: true })]);
  },

  settle(part, site) {
    if (part.up) waitForLink(hostSide(site), part.host.name);
  },

  compare(part, site, foreign) {
    const host = site.seenLink(part.host.name);
    const pod = site.seenPodLink(part.pod.name);
    const paired = !host || !pod || (host.peer === pod.index && pod.peer === host.index);
    return [
      ...compareLink(host, { ...part.host, kind: "veth", mtu: part.mtu }, "on the host"),
      ...compareLink(pod, { ...part.pod, kind: "veth", mtu: wantedMtu(part, pod, site) }, "in the container"),
      ...(host && part.plug ? comparePort(host, part.plug, site, foreign) : []),
      ...(foreign ? [] : compareSysctls(part.host.sysctls)),
      ...(paired ? [] : [`${part.host.name} and ${part.pod.name} are not the two ends of one veth pair`]),
      ...(host && !host.up ? [`link ${part.host.name} on the host is down`] : []),
    ];
  },

  mend(part, site) {
    const host = site.seenLink(part.host.name);
    const pod = site.seenPodLink(part.pod.name);
    if (!host || !pod || host.peer !== pod.index || pod.peer !== host.index) {
      throw beyondMending(
        host && pod
          ? `${part.host.name} and ${part.pod.name} are not the two ends of one veth pair`
          : `link ${host ? `${part.pod.name} in the container` : `${part.host.name} on the host`} is gone`,
      );
    }
    const alias = linkAlias(site.owner);
    return [
      ...(host.alias === alias ? [] : [stepOf(site.host, setAlias(host.name, alias))]),
      ...mendLink(site.host, host, { ...part.host, kind: "veth", mtu: part.mtu }),
      ...mendLink(site.pod.socket, pod, { ...part.pod, kind: "veth", mtu: wantedMtu(part, pod, site) }, IN_POD),
      ...(pod.mac === part.pod.mac || part.plug ? [] : [forgetNeighbours(site.host, host)]),
      ...mendSysctls(part.host.sysctls, site.log),
      ...(part.plug ? mendPort(site, host, part.plug) : []),
      ...(host.up ? [] : [stepOf(site.host, setLink(host, { up: true }))]),
    ];
  },

  remove: removeVeth,
  collect: collectVeths,
};

/** BR_MAX_PORTS of the kernel's net/bridge/br_private.h, less port 0, which none has */
const MOST_PORTS = 1023;

const bridgeFull = (bridge: string, { message }: Error): CniError =>
  new CniError(
    Code.TryAgainLater,
    `bridge ${bridge} has ${MOST_PORTS} ports, the most Linux allows: a pod must go before another one comes`,
    message,
  );

/** The host learned the pod's other MAC; the kernel forgets all neighbours of a link whose own MAC is written. */
const forgetNeighbours = (host: NetlinkSocket, link: Link): Step => ({
  what: `set link ${link.name} to ask for its neighbours again`,
  run: () => void host.request([setLink(link, { mac: link.mac })]),
});

function createPair(veth: VethPart, { owner, host, pod }: Site, undo: Undo, master: number | undefined): Link {
  const make = createVeth({
    host: veth.host,
    pod: veth.pod,
    ...(veth.mtu && { mtu: veth.mtu }),
    netns: pod.fd,
    ...(master !== undefined && { master }),
  });
  // Before it is made: when what follows in the batch fails, or the kernel's answer is lost (ENOBUFS), it is there all
  // the same. Its MAC, which was drawn for this call, tells it from that of an attachment that was there before.
  undo.push(
    `delete link ${veth.host.name}`,
    () => findLink(host, veth.host.name)?.mac === veth.host.mac && removeLink(host, veth.host.name),
  );
  try {
    // one batch, one system call: a veth without its alias, which GC could not attribute, never exists
    const replies = host.request([make, setAlias(veth.host.name, linkAlias(owner)), getLink(veth.host.name)]);
    return decodeLink(replies[0]!)!;
  } catch (error) {
    if (isErrno(error, "EXFULL")) throw bridgeFull(veth.plug?.bridge ?? "", error);
    if (!isErrno(error, "EEXIST")) throw error;
    throw findLink(host, veth.host.name)
      ? attachedAlready(owner, `host link ${veth.host.name}`)
      : nameTaken(owner, pod.path, error);
  }
}
