import { CniError, Code, messageOf } from "../../cni/error.ts";
import * as linux from "../../kernel/linux.ts";
import { keepTap, openTap, withExecLabel } from "../../kernel/tap.ts";
import type { Tap } from "../../netlink/rtnetlink/device.ts";
import { setAlias, setLink } from "../../netlink/rtnetlink/link.ts";
import type { PodLinkPart } from "../attachment.ts";
import { getTool, runTool } from "../firewall/tool.ts";
import { linkAlias } from "../owner.ts";
import type { PodNamespace } from "../pod-namespace.ts";
import type { Site } from "../site.ts";
import { findLink, getMadeLink } from "./links.ts";

/**
 * Makes the pod's TAP device with its alias, MAC and MTU, plugged into its bridge, down; EBUSY where the name is taken.
 * Until all of that is done it goes with podwire.
 */
export function createTap(part: PodLinkPart, device: Tap, { pod, owner }: Site): void {
  const { link, mtu, selinuxContext } = part;
  const master = part.bridge === undefined ? undefined : getBridge(part.bridge, pod);
  const fd = selinuxContext === undefined ? open(link.name, device, pod) : undefined;
  try {
    if (selinuxContext !== undefined) runIp(link.name, device, selinuxContext, pod);
    pod.socket.request([setAlias(link.name, linkAlias(owner))]);
    const { index, name } = getMadeLink(pod.socket, link.name);
    const change = { ...(link.mac && { mac: link.mac }), ...(mtu && { mtu }), ...(master && { master }) };
    pod.socket.request([setLink({ index, name }, change)]);
    if (fd !== undefined) keepTap(fd);
  } finally {
    if (fd !== undefined) linux.close(fd);
  }
}

function getBridge(name: string, { socket }: PodNamespace): number {
  const found = findLink(socket, name);
  if (found?.kind === "bridge") return found.index;
  const what = found ? `in the container is not a bridge but a ${found.kind || "device"}` : "does not exist there";
  throw new CniError(Code.InvalidConfig, `bridge: link "${name}" ${what}; it must be a bridge of the container`);
}

function open(name: string, device: Tap, pod: PodNamespace): number {
  try {
    return pod.enter(() => openTap(name, device));
  } catch (error) {
    throw refused(error, name, device) ?? error;
  }
}

/** What the kernel's refusal means to the person who wrote the configuration. */
function refused(error: unknown, name: string, { owner, group }: Tap): CniError | undefined {
  if (linux.isErrno(error, "EPERM")) {
    return new CniError(Code.Internal, `cannot create tap ${name}: CAP_NET_ADMIN is needed`, messageOf(error));
  }
  if (!linux.isErrno(error, "EINVAL", "ENOENT", "ENODEV", "ENXIO")) return undefined;
  const because = (text: string): CniError =>
    new CniError(Code.InvalidConfig, text, messageOf(error), { cause: error });
  if (error.syscall === "open") return because("this node has no /dev/net/tun (CONFIG_TUN), so it can make no tap");
  if (error.syscall === "ioctl TUNSETOWNER") return because(`owner is ${owner}, which is no user of this node`);
  if (error.syscall === "ioctl TUNSETGROUP") return because(`group is ${group}, which is no group of this node`);
  return undefined;
}

/** A device has the label of the program that makes it. */
function runIp(name: string, { multiQueue, owner, group }: Tap, label: string, pod: PodNamespace): void {
  const args = ["tuntap", "add", "mode", "tap", "name", name];
  if (multiQueue) args.push("multi_queue");
  if (owner !== undefined) args.push("user", `${owner}`);
  if (group !== undefined) args.push("group", `${group}`);
  if (findLink(pod.socket, name)) throw new linux.SystemError("ip tuntap add", 16 /* EBUSY */, name);
  const file = getTool("ip", "selinuxContext");
  const { ok, errors } = pod.enter(() => {
    try {
      return withExecLabel(label, () => runTool(file, args, ""));
    } catch (error) {
      if (!linux.isErrno(error, "EINVAL", "ENOENT")) throw error;
      const why = "this kernel has no SELinux, or its policy no such label";
      throw new CniError(Code.InvalidConfig, `selinuxContext is ${JSON.stringify(label)}: ${why}`, messageOf(error));
    }
  });
  if (!ok) throw new CniError(Code.Internal, `cannot create tap ${name}: ${file} ${args.join(" ")}: ${errors}`);
}
