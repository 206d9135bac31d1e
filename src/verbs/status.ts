import { kindOf } from "../attachment/kinds.ts";
import { CniError, Code, messageOf } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import { hasCapability } from "../kernel/capability.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import type { Spec } from "./spec.ts";

/** Throws code 50 where an ADD with this configuration could not work on this node; changes nothing. */
export function status<C>(spec: Spec<C>, call: Invocation): void {
  const [config, ipam] = spec.read(call);
  try {
    NetlinkSocket.open(NETLINK_ROUTE).close();
  } catch (error) {
    throw new CniError(Code.NotAvailable, `cannot open a netlink socket: ${messageOf(error)}`);
  }
  if (!spec.isChained) assertCapable(); // a chained plugin may have nothing to do
  for (const part of spec.asked(config)) kindOf(part.kind).status?.(part);
  ipam.status();
}

/** Making a link for a pod takes the one, entering its namespace the other. */
function assertCapable(): void {
  for (const name of ["NET_ADMIN", "SYS_ADMIN"] as const) {
    if (hasCapability(name) !== false) continue;
    throw new CniError(Code.NotAvailable, `podwire runs without CAP_${name}, and cannot wire a pod`);
  }
}
