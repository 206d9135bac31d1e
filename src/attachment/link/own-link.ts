import { CniError, Code } from "../../cni/error.ts";
import { isNewLinkName } from "../../net/link-name.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import type { Owner } from "../attachment.ts";

// What is the same for every attachment's own link, of whatever sort it is.

/** CniError 4 for a CNI_IFNAME by which the kernel makes no link. */
export function assertNewName(ifname: string): void {
  if (isNewLinkName(ifname)) return;
  throw new CniError(
    Code.InvalidEnvironment,
    `cannot create CNI_IFNAME ${JSON.stringify(ifname)}: ` +
      "no link can be made whose name has a % in it, or is all or default",
  );
}

/** The error of an ADD for which there is a link already; `which` says where it is seen. */
export const attachedAlready = ({ network, containerId, ifname }: Owner, which: string): CniError =>
  new CniError(
    Code.InvalidEnvironment,
    `cannot attach ${ifname}: container ${containerId} is attached to network ${network} by it already (${which}): ` +
      "DEL comes before another ADD of these CNI_CONTAINERID and CNI_IFNAME",
  );

/** The error of an ADD whose CNI_IFNAME is another link's. */
export const nameTaken = ({ ifname }: Owner, netns: string, { message }: Error): CniError =>
  new CniError(
    Code.InvalidEnvironment,
    `cannot create CNI_IFNAME "${ifname}" in ${netns}: an interface of that name already exists there`,
    message,
  );

/** What a link must be; a MAC or MTU that is not said may be any. */
export interface Wanted {
  name: string;
  kind: string;
  mac?: string;
  mtu: number | undefined;
}

/** The error of mending what goes with a link that is gone. */
export const beyondMending = (what: string): CniError =>
  new CniError(Code.Internal, `${what}: this cannot be mended, only made anew: restart the pod`);

/** How a link differs from what is wanted, in words. */
export function compareLink(link: Link | undefined, wanted: Wanted, where: string): string[] {
  if (!link) return [`link ${wanted.name} does not exist ${where}`];
  if (link.kind !== wanted.kind) {
    return [`link ${wanted.name} ${where} is not a ${wanted.kind} but ${link.kind ? `a ${link.kind}` : "a device"}`];
  }
  return [
    ...(wanted.mac && link.mac !== wanted.mac
      ? [`link ${wanted.name} ${where} has MAC ${link.mac}, not ${wanted.mac}`]
      : []),
    ...(wanted.mtu && link.mtu !== wanted.mtu
      ? [`link ${wanted.name} ${where} has MTU ${link.mtu}, not ${wanted.mtu}`]
      : []),
  ];
}
