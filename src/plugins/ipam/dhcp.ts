import { refuseOwnNamespace } from "../../attachment/pod-namespace.ts";
import type { Plugin } from "../../cni/invocation.ts";
import { addDhcp, checkDhcp, collectDhcp, removeDhcp, statusOfDhcp } from "../../ipam/dhcp.ts";
import { parseDhcp } from "../../ipam/dhcp-config.ts";
import { knownToIpam } from "../../ipam/keys.ts";

const known = knownToIpam("dhcp");

/** The IPAM plugin by itself, for main plugins that run one: addresses of a DHCP server, which the daemon keeps up. */
export const dhcp: Plugin = {
  name: "dhcp",

  add(call) {
    refuseOwnNamespace(call);
    return { interfaces: [], ...addDhcp(call, parseDhcp(call)) };
  },

  check: (call) => checkDhcp(call, parseDhcp(call)),

  del(call) {
    refuseOwnNamespace(call);
    removeDhcp(call);
  },

  gc: (call) => collectDhcp(call),
  inspect: (call) => void parseDhcp(call),
  known: () => known,
  status: (call) => statusOfDhcp(parseDhcp(call)),
};
