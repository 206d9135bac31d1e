import type { NetworkList, Node } from "./harness.ts";

// Network configurations as other programs write them, or their documents show them.

const portmap = { type: "portmap", capabilities: { portMappings: true } };

/** k3s's 10-flannel.conflist. */
export const k3s: NetworkList = {
  name: "cbr0",
  cniVersion: "1.0.0",
  plugins: [
    { type: "flannel", delegate: { hairpinMode: true, forceAddress: true, isDefaultGateway: true } },
    portmap,
    { type: "bandwidth", capabilities: { bandwidth: true } },
  ],
};

/** nerdctl's network "bridge"; what its own keys are for, no plugin is told. */
export const nerdctl = (tuning: object = {}): NetworkList & Record<string, unknown> => ({
  cniVersion: "1.0.0",
  name: "bridge",
  nerdctlID: "17f29b073143d8cd97b5bbe492bdeffec1c5fee55cc1fe2112c8b9335f8b6121",
  nerdctlLabels: {},
  plugins: [
    {
      type: "bridge",
      bridge: "nerdctl0",
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        ranges: [[{ gateway: "10.4.0.1", subnet: "10.4.0.0/24" }]],
        routes: [{ dst: "0.0.0.0/0" }],
        type: "host-local",
      },
    },
    portmap,
    { type: "firewall", ingressPolicy: "same-bridge" },
    { type: "tuning", ...tuning },
  ],
});

const hostLocal = (node: Node, range: object, more: object = {}): object => ({
  type: "host-local",
  dataDir: node.dataDir,
  ranges: [[range]],
  ...more,
});

/** The cluster's network. */
export const cluster = (node: Node): NetworkList => ({
  cniVersion: "1.0.0",
  name: "cluster",
  plugins: [
    {
      type: "bridge",
      bridge: "cni0",
      isDefaultGateway: true,
      hairpinMode: true,
      ipMasq: true,
      ipam: hostLocal(node, { subnet: "10.50.0.0/24" }),
    },
    portmap,
  ],
});

/** multus' own example: pods as machines on a network that the node's uplink leads to. */
export const macvlan = (node: Node): NetworkList => ({
  cniVersion: "0.3.1",
  name: "macvlan-conf",
  plugins: [
    {
      type: "macvlan",
      master: "uplink",
      mode: "bridge",
      ipam: hostLocal(
        node,
        {
          subnet: "198.51.100.0/24",
          rangeStart: "198.51.100.200",
          rangeEnd: "198.51.100.216",
          gateway: "198.51.100.1",
        },
        { routes: [{ dst: "203.0.113.0/24" }] },
      ),
    },
  ],
});

/** kubevirt's: layer 2 alone for the virtual machine, whose MAC is the interface's. */
export const kubevirt: NetworkList = {
  cniVersion: "0.3.1",
  name: "br1-net",
  plugins: [{ type: "bridge", bridge: "br1", macspoofchk: true, capabilities: { mac: true }, ipam: {} }],
};
