import type { NetworkList } from "./chain.ts";

// Network configurations as other programs write them.

const portmap = { type: "portmap", capabilities: { portMappings: true } };

/** k3s' 10-flannel.conflist: every folder and name it leaves out is the plugins' own. */
export const k3s: NetworkList = {
  name: "cbr0",
  cniVersion: "1.0.0",
  plugins: [
    { type: "flannel", delegate: { hairpinMode: true, forceAddress: true, isDefaultGateway: true } },
    portmap,
    { type: "bandwidth", capabilities: { bandwidth: true } },
  ],
};

/** nerdctl's default network "bridge", and what people add to its tuning. */
export const nerdctl = (tuning: object = {}, firewall: object = {}): NetworkList => ({
  cniVersion: "1.0.0",
  name: "bridge",
  plugins: [
    {
      type: "bridge",
      bridge: "nerdctl0",
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        routes: [{ dst: "0.0.0.0/0" }],
        ranges: [[{ subnet: "10.4.0.0/24", gateway: "10.4.0.1" }]],
      },
    },
    portmap,
    { type: "firewall", ingressPolicy: "same-bridge", ...firewall },
    { type: "tuning", ...tuning },
  ],
});
