import { findLink, listAddresses } from "../../attachment/link/links.ts";
import { PodNamespace } from "../../attachment/pod-namespace.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Invocation, Plugin } from "../../cni/invocation.ts";
import { noDns, type Result } from "../../cni/result.ts";
import { knownBy } from "../../cni/known-keys.ts";
import { commonSchema } from "../../protocol/config.ts";
import { type Link, setLink } from "../../netlink/rtnetlink/link.ts";
import { contains, families, formatPrefix, parsePrefix, type Prefix } from "../../net/ip.ts";

const loopbackNetworks = [parsePrefix("127.0.0.0/8")!, parsePrefix("::1/128")!];

const known = knownBy([commonSchema]);

/** The plugin that sets `lo` of the container up; CNI_IFNAME plays no part. */
export const loopback: Plugin = {
  name: "loopback",

  add(call) {
    return withLo(call, (lo, pod) => {
      const addresses = listAddresses(pod.socket, lo);
      const strange = addresses.find((prefix) => !isLoopback(prefix));
      if (strange) {
        throw new CniError(
          Code.Internal,
          `the container's lo has an address that is not loopback: ${formatPrefix(strange)}`,
        );
      }
      pod.socket.request([setLink(lo, { up: true })]);
      return call.prevResult ?? resultOf(call, lo, listAddresses(pod.socket, lo));
    });
  },

  check(call) {
    withLo(call, (lo) => {
      if (!lo.up) throw new CniError(Code.Internal, `the container's lo is down`);
    });
  },

  del(call) {
    const pod = PodNamespace.find(call.netns, call.netnsOverride);
    if (!pod) return;
    const lo = findLink(pod.socket, "lo");
    if (lo?.up) pod.socket.request([setLink(lo, { up: false })]);
    pod.close();
  },

  gc: () => undefined,
  status: () => undefined,
  inspect: () => undefined,
  known: () => known,
};

function withLo<T>(call: Invocation, use: (lo: Link, pod: PodNamespace) => T): T {
  const pod = PodNamespace.open(call.netns, call.netnsOverride);
  try {
    const lo = findLink(pod.socket, "lo");
    if (!lo) throw new CniError(Code.InvalidEnvironment, `CNI_NETNS ${JSON.stringify(call.netns)} has no link "lo"`);
    return use(lo, pod);
  } finally {
    pod.close();
  }
}

const isLoopback = ({ ip }: Prefix): boolean =>
  loopbackNetworks.some((network) => network.ip.family === ip.family && contains(network, ip));

/** The first address of each family, as the reference reports them. */
function resultOf({ netns }: Invocation, lo: Link, addresses: Prefix[]): Result {
  const firsts = families.flatMap((family) => addresses.find(({ ip }) => ip.family === family) ?? []);
  return {
    interfaces: [{ name: "lo", mac: lo.mac, mtu: lo.mtu, sandbox: netns }],
    ips: firsts.map((address) => ({ address, interface: 0 })),
    routes: [],
    dns: noDns(),
  };
}
