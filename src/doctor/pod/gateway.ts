import { formatIp, type Ip, sameIp } from "../../net/ip.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import { type Neighbour, NUD } from "../../netlink/rtnetlink/neighbour.ts";
import { fault, type Finding, orFine, skip } from "../finding.ts";
import { ipKey, linkAt, linkNamed } from "../look.ts";
import { askableGateways, gatewaysOf, partOf, podLink, type PodView } from "../pod-view.ts";
import { ago } from "../since.ts";
import { differencesOf, inPod, type Layer, mendOf } from "./layer.ts";

/** Whom the pod sends through: that the node has those addresses, and that the pod knows, or learns, their MAC. */
export const gateway: Layer = (view, look) => {
  const found = differencesOf(view, "gateway");
  const gateways = gatewaysOf(view);
  if (gateways.length === 0) return found;
  const link = podLink(view);
  if (!link?.up) return [...found, skip("gateway", "nobody can be asked while the link is down")];
  const askable = askableGateways(view);
  if (askable.length === 0) return [...found, skip("gateway", "nobody can be asked while the pod has no address")];
  const known = gateways.map((ip) =>
    view.inside!.neighbours.find((each) => each.index === link.index && sameIp(each.ip, ip)),
  );
  const host = linkNamed(look, view.hostLink?.name);
  const router = linkAt(look, host?.master) ?? host;
  const isRouted = host !== undefined && partOf(view, "veth")?.plug === undefined;
  const isOurs = (ip: Ip): boolean => isRouted || look.holders.has(ipKey(ip));
  gateways.forEach((ip, at) => {
    const neighbour = known[at];
    const text = formatIp(ip);
    const isSilent = look.isThorough
      ? !neighbour?.mac && askable.some((own) => sameIp(own, ip))
      : neighbour !== undefined && (neighbour.state & NUD.FAILED) !== 0;
    if (isSilent && found.length === 0) {
      const mend = isOurs(ip)
        ? mendSilent(view, router)
        : `see whether ${text} is up, in the network of the link itself`;
      found.push(fault("gateway", `${text} does not answer the pod`, { is: "asked in vain", mend }));
    } else if (neighbour?.mac && router && isOurs(ip) && !isVlan(view) && neighbour.mac !== router.mac) {
      found.push(mistaken(view, neighbour, router, link));
    }
  });
  const answers = gateways.filter((_, at) => known[at]?.mac);
  if (answers.length < gateways.length && found.length === 0) {
    const silent = gateways.filter((ip) => !answers.includes(ip)).map(formatIp);
    return [skip("gateway", `${silent.join(", ")}: not asked for yet`)];
  }
  return orFine(found, "gateway", `${answers.map(formatIp).join(", ")} answers`);
};

/** The node's own address: where all is as it was made, something else keeps the answers back. */
const mendSilent = (view: PodView, router: Link | undefined): string =>
  view.differences.length > 0
    ? mendOf(view)
    : `see what keeps ${router?.name ?? "the node"} from answering: sysctl net.ipv4.conf | grep arp_; ` +
      "nft list ruleset (tables arp, bridge, ip6)";

/** Neighbours that ADD wrote are written again by repair; others the kernel learns again once they are forgotten. */
function mistaken(view: PodView, { ip, mac, updatedMs }: Neighbour, router: Link, { name }: Link): Finding {
  const text = formatIp(ip);
  const isWritten = partOf(view, "pod")?.neighbours.some((each) => sameIp(each.ip, ip));
  return fault("gateway", `the pod takes ${mac} for ${text}`, {
    expected: `${router.mac}, ${router.name}`,
    is: mac,
    since: updatedMs === undefined ? undefined : ago(updatedMs),
    mend: isWritten ? mendOf(view) : `${inPod(view)} ip neighbour delete ${text} dev ${name}`,
  });
}

const isVlan = (view: PodView): boolean => partOf(view, "gateways")?.vlanInterface !== undefined;
