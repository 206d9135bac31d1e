import { refuseOwnNamespace } from "../../attachment/pod-namespace.ts";
import type { Plugin } from "../../cni/invocation.ts";
import { addDhcp, checkDhcp, collectDhcp, removeDhcp, statusOfDhcp } from "../../ipam/dhcp.ts";
import { parseDhcp } from "../../ipam/dhcp-config.ts";

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

  gc: collectDhcp,
  inspect: (call) => void parseDhcp(call),
  // it is handed the configuration of a main plugin, whose keys are not its own
  known: () => "anything",
  status: (call) => statusOfDhcp(parseDhcp(call)),
};
