import type { Known } from "./cni/invocation.ts";
import { isObject } from "./cni/schema.ts";
import { dispatch } from "./protocol/dispatch.ts";
import { concatBytes, encodeUtf8 } from "./net/bytes.ts";
import { decodeMessages, encodeMessage } from "./netlink/message.ts";
import { createVeth, decodeLink } from "./netlink/rtnetlink/link.ts";
import { findPlugin, pluginNames } from "./plugins/registry.ts";

const ipam = {
  type: "host-local",
  ranges: [[{ subnet: "10.1.0.0/16", gateway: "10.1.0.1" }], [{ subnet: "fd00::/64" }]],
  routes: [{ dst: "0.0.0.0/0" }],
};
const runtimeConfig = {
  portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
  bandwidth: { IngressRate: 8e6, IngressBurst: 8e5, EgressRate: 8e6, EgressBurst: 8e5 },
};
const prevResult = {
  cniVersion: "1.0.0",
  interfaces: [
    { name: "cni0", mac: "00:11:22:33:44:55" },
    { name: "eth0", mac: "00:11:22:33:44:57", sandbox: "/x" },
  ],
  ips: [{ interface: 1, address: "10.1.0.2/16", gateway: "10.1.0.1" }],
  routes: [{ dst: "0.0.0.0/0" }],
};

/**
 * Runs every plugin's verbs once while the executable is built, on a machine that has nothing: what the engine makes
 * when code runs for the first time (properties of its own objects, shapes, tables) is in the heap from then on.
 */
export function warmUp(): void {
  for (const type of pluginNames) for (const verb of ["VERSION", "ADD", "CHECK", "DEL", "STATUS"]) call(type, verb);
  const mac = "00:11:22:33:44:55";
  const message = createVeth({
    host: { name: "veth0", mac },
    pod: { name: "eth0", mac },
    netns: 3,
    mtu: 1400,
    master: 1,
  });
  const [received] = decodeMessages(concatBytes(encodeMessage(message, 1)));
  decodeLink(received!);
}

/** What of a configuration is known: a key that is not would be looked for among all there are, as no good one is. */
function knownOf(value: unknown, known: Known): unknown {
  if (!isObject(value) || known === "anything") return value;
  const { names, every } = known;
  const kept = Object.entries(value).flatMap(([key, below]) => {
    const inner = names.get(key) ?? names.get(key.toLowerCase()) ?? every;
    return inner ? [[key, knownOf(below, inner)]] : [];
  });
  return Object.fromEntries(kept) as unknown;
}

function call(type: string, verb: string): void {
  const everything = {
    cniVersion: "1.1.0",
    name: "warm",
    type,
    bridge: "cni0",
    master: "eth0",
    vrfname: "blue",
    isDefaultGateway: true,
    ipMasq: true,
    mtu: 1400,
    ipam,
    capabilities: { portMappings: true, bandwidth: true },
    runtimeConfig,
    snat: true,
    sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1" },
    prevResult,
  };
  const config = knownOf(everything, findPlugin(type)!.known(everything));
  const environment = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: "warm",
    CNI_NETNS: "/run/netns/warm",
    CNI_IFNAME: "eth0",
    CNI_PATH: "/opt/cni/bin",
    CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=x",
  };
  dispatch({
    environment,
    readStdin: () => encodeUtf8(JSON.stringify(config)),
    invokedAs: type,
    findPlugin,
    pluginNames,
    append: () => undefined,
    complain: () => undefined,
    now: () => 0,
  });
}
