import { refuseOwnNamespace } from "../../attachment/pod-namespace.ts";
import type { Plugin } from "../../cni/invocation.ts";
import { parseStatic } from "../../ipam/static-config.ts";
import { checkStatic } from "../../ipam/static.ts";
import { knownToIpam } from "../../ipam/keys.ts";

const known = knownToIpam("static");

/** The IPAM plugin by itself, for main plugins that run one: the addresses that are configured or asked for. */
export const staticIpam: Plugin = {
  name: "static",

  add(call) {
    refuseOwnNamespace(call);
    return { interfaces: [], ...parseStatic(call) };
  },

  check: (call) => checkStatic(call, parseStatic(call)),
  // nothing is kept, and nothing has to be readable to forget it
  del: (call) => refuseOwnNamespace(call),
  gc: () => undefined,
  inspect: (call) => void parseStatic(call),
  known: () => known,
  status: (call) => void parseStatic(call),
};
