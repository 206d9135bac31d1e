import type { FilterPart, IngressPolicy } from "../../attachment/attachment.ts";
import { show } from "../../cni/complaint.ts";
import { CniError, Code } from "../../cni/error.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { readConfig } from "../../cni/reading.ts";
import { choice, type Infer, optionalOrEmpty, shape, text } from "../../cni/schema.ts";
import type { Ip } from "../../net/ip.ts";
import { isLinkName } from "../../net/link-name.ts";
import type { ChainedPlugin } from "../../verbs/plan.ts";

const firewallConfig = shape({
  backend: optionalOrEmpty(choice("nftables", "iptables", "firewalld")),
  ingressPolicy: optionalOrEmpty(choice("open", "same-bridge", "isolated")),
  iptablesAdminChainName: optionalOrEmpty(
    text("the name of an iptables chain", (name) => /^[^\s"\\!-][^\s"\\]{0,27}$/.test(name)),
  ),
  firewalldZone: optionalOrEmpty(text("the name of a zone", (name) => /^[^\s\0-][^\s\0]*$/.test(name))),
});

type FirewallConfig = Infer<typeof firewallConfig> & { bridge?: string };

/** The bridge a policy is for is the first interface of prevResult. */
function read(call: Invocation): FirewallConfig {
  const config = readConfig(firewallConfig, call);
  const bridge = call.prevResult?.interfaces[0]?.name;
  if ((call.verb === "ADD" || call.verb === "CHECK") && call.prevResult && isClosed(config.ingressPolicy)) {
    if (bridge === undefined || !isLinkName(bridge)) {
      const found = bridge === undefined ? "it has no interfaces" : `it is ${show(bridge)}`;
      throw new CniError(
        Code.InvalidConfig,
        `prevResult.interfaces[0].name: must be the bridge of ${show(config.ingressPolicy)}, but ${found}`,
      );
    }
  }
  return { ...config, ...(bridge !== undefined && { bridge }) };
}

const isClosed = (policy: IngressPolicy = "open"): boolean => policy !== "open";

const planFilter = (config: FirewallConfig, addresses: Ip[]): FilterPart => ({
  kind: "filter",
  ...(config.backend !== undefined && { backend: config.backend }),
  addresses,
  adminChain: config.iptablesAdminChainName ?? "CNI-ADMIN",
  zone: config.firewalldZone ?? "trusted",
  policy: config.ingressPolicy ?? "open",
  ...(config.bridge !== undefined && { bridge: config.bridge }),
});

/** Lets what is forwarded for the container pass the host's firewall; the filter part, and nothing else. */
export const firewall: ChainedPlugin<FirewallConfig> = {
  name: "firewall",
  // whatever a container's interface is called, it is the host that forwards for it
  everyInterface: true,
  kinds: [],
  optional: ["filter"],
  schema: firewallConfig,
  read,
  asked: (config) => [planFilter(config, [])],
  parts: (config, ips) => [
    planFilter(
      config,
      ips.map(({ address }) => address.ip),
    ),
  ],
};
