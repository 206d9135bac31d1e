import { CniError, Code } from "../cni/error.ts";
import type { Log } from "../cni/log.ts";
import { isErrno } from "../kernel/linux.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { addAddress } from "../netlink/rtnetlink/address.ts";
import {
  createVeth,
  decodeLink,
  deleteLink,
  getLink,
  type Link,
  setAlias,
  setLink,
} from "../netlink/rtnetlink/link.ts";
import { deleteNeighbour, setNeighbour } from "../netlink/rtnetlink/neighbour.ts";
import { addRoute, replaceRoute } from "../netlink/rtnetlink/route.ts";
import { ensureSysctl, writeSysctlIfKnown } from "../kernel/sysctl.ts";
import { isNewLinkName } from "../net/link-name.ts";
import type { Applied, Attachment, Sysctl } from "./attachment.ts";
import { ensureBridge, ensureGateways, pinMac, plugMessages } from "./bridge.ts";
import { findLink } from "./links.ts";
import { ownerLabel } from "./owner.ts";
import type { PodNamespace } from "./pod-namespace.ts";
import { waitForAddresses, waitForDelivery, waitForLink } from "./readiness.ts";
import type { Undo } from "./undo.ts";

/** IFLA_IFALIAS holds 255 bytes with the terminating zero; what `ip link` shows a person about a host veth. */
export const ALIAS_BYTES = 254 - "podwire ".length;

/**
 * Makes everything the attachment describes exist, but for the firewall. What it owns is registered in `undo` as it is
 * made; shared things stay. Throws the first failure; the caller runs the undo.
 */
export function applyLinks(
  attachment: Attachment,
  host: NetlinkSocket,
  pod: PodNamespace,
  { undo, log }: { undo: Undo; log: Log },
): Applied {
  const bridge = attachment.bridge && log.step("bridge", () => ensureBridge(host, attachment.bridge!, log));
  const veth = log.step("veth", () =>
    createPair(attachment, host, pod, { undo, ...(bridge && { master: bridge.index }) }),
  );
  log.step("host", () => configureHost(attachment, host, veth));
  log.step("pod", () => configurePod(attachment, pod, { index: veth.peer!, name: attachment.veth.pod.name }));
  const gateway =
    bridge && attachment.bridge!.addresses.length > 0
      ? log.step("gateway", () => ensureGateways(host, attachment.bridge!, bridge))
      : undefined;
  const pinned = bridge && pinMac(host, bridge);
  return {
    host: veth,
    ...(pinned && { bridge: pinned }),
    ...(gateway && gateway.index !== bridge?.index && { vlanInterface: gateway }),
  };
}

/** Waits for what comes up by itself, then tells neighbours who has the addresses now. */
export function settle(attachment: Attachment, host: NetlinkSocket, pod: PodNamespace, applied: Applied): void {
  if (!attachment.pod.up) return;
  const hostSide = { socket: host, open: () => NetlinkSocket.open(NETLINK_ROUTE) };
  const podSide = { socket: pod.socket, open: () => pod.enter(hostSide.open) };
  const gateways = [
    ...(attachment.bridge?.addresses ?? []),
    ...attachment.host.addresses.map(({ prefix }) => prefix),
  ].map(({ ip }) => ip);
  const ips = attachment.pod.addresses.map(({ prefix }) => prefix.ip);
  waitForLink(hostSide, attachment.veth.host.name);
  if (ips.some(({ family }) => family === 6)) waitForLink(podSide, attachment.veth.pod.name);
  waitForDelivery(hostSide, gateways);
  waitForDelivery(podSide, ips);
  if (attachment.bridge && attachment.pod.addresses.length > 0) announce(attachment, host, pod, applied);
}

function announce({ veth, pod: wanted }: Attachment, host: NetlinkSocket, pod: PodNamespace, applied: Applied): void {
  const holder = applied.vlanInterface ?? applied.bridge!;
  for (const { prefix } of wanted.addresses) {
    try {
      host.request([deleteNeighbour(holder, prefix.ip)]);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
  // With arp_notify and ndisc_notify set, writing the MAC (the same one) makes the kernel announce every address of the
  // link. At link up it would be too early: the bridge port does not forward yet, and a packet socket of our own would
  // cost an RCU grace period when it is closed.
  pod.socket.request([setLink({ index: applied.host.peer!, name: veth.pod.name }, { mac: veth.pod.mac })]);
}

function createPair(
  { owner, veth }: Attachment,
  host: NetlinkSocket,
  pod: PodNamespace,
  { undo, master }: { undo: Undo; master?: number },
): Link {
  if (!isNewLinkName(veth.pod.name)) {
    throw new CniError(
      Code.InvalidEnvironment,
      `cannot create CNI_IFNAME ${JSON.stringify(veth.pod.name)}: no link can be made whose name has a % in it`,
    );
  }
  const make = createVeth({ ...veth, netns: pod.fd, ...(master !== undefined && { master }) });
  // Before it is made: when what follows in the batch fails, or the kernel's answer is lost (ENOBUFS), it is there all
  // the same. Its MAC, which was drawn for this call, tells it from that of an attachment that was there before.
  undo.push(
    `delete link ${veth.host.name}`,
    () => findLink(host, veth.host.name)?.mac === veth.host.mac && removeLink(host, veth.host.name),
  );
  try {
    // one batch, one system call: a veth without its alias, which GC could not attribute, never exists
    const replies = host.request([
      make,
      setAlias(veth.host.name, `podwire ${ownerLabel(owner, ALIAS_BYTES)}`),
      getLink(veth.host.name),
    ]);
    return decodeLink(replies[0]!)!;
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    throw findLink(host, veth.host.name)
      ? new CniError(
          Code.InvalidConfig,
          `cannot attach ${owner.ifname}: container ${owner.containerId} is attached to network ${owner.network} ` +
            `by it already (host link ${veth.host.name}); DEL comes first`,
        )
      : new CniError(
          Code.InvalidEnvironment,
          `cannot create CNI_IFNAME "${owner.ifname}" in ${pod.path}: an interface of that name already exists there`,
          error.message,
        );
  }
}

/** Deletes a link by name; true when it was there. */
export function removeLink(socket: NetlinkSocket, name: string): boolean {
  try {
    socket.request([deleteLink(name)]);
    return true;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return false;
    throw error;
  }
}

function configureHost({ bridge, host: wanted }: Attachment, host: NetlinkSocket, link: Link): void {
  wanted.sysctls.forEach(applySysctl);
  host.request([...(bridge ? plugMessages(link, bridge.port) : []), setLink(link, { up: true })]);
  if (wanted.addresses.length + wanted.routes.length > 0) {
    // replaced, not added: what a pod that is gone left behind for this address must not win
    host.request([
      ...wanted.addresses.map(({ prefix, ...options }) => addAddress(link, prefix, options)),
      ...wanted.routes.map((route) => replaceRoute(link, route)),
    ]);
  }
  for (const family of wanted.forwarding) ensureSysctl(forwardingSysctl[family], "1");
}

/** Documentation/networking/ip-sysctl.rst */
export const forwardingSysctl = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;

function configurePod({ pod: wanted }: Attachment, pod: PodNamespace, link: { index: number; name: string }): void {
  pod.enter(() => wanted.sysctls.forEach(applySysctl));
  const addresses = [
    ...wanted.addresses.map(({ prefix, ...options }) => addAddress(link, prefix, options)),
    ...(wanted.up ? [setLink(link, { up: true })] : []),
  ];
  const routes = [
    ...wanted.neighbours.map(({ ip, mac }) => setNeighbour(link, ip, mac)),
    ...wanted.routes.map((route) => addRoute(link, route)),
  ];
  if (!wanted.addresses.some(({ dad }) => dad)) return void pod.socket.request([...addresses, ...routes]);
  pod.socket.request(addresses);
  waitForAddresses(pod, link); // a route's source must not be an address that may turn out to be taken
  pod.socket.request(routes);
}

function applySysctl({ path, value, optional }: Sysctl): void {
  if (optional) writeSysctlIfKnown(path, value);
  else ensureSysctl(path, value);
}
