import { expect } from "vitest";
import { macvlan } from "../executable/configs.ts";
import { DhcpScene, type Process, socketOf } from "../executable/dhcp.ts";
import type { Node } from "../executable/harness.ts";
import { liveAgain, type Scenario, stateOf } from "./scenarios.ts";

export interface Served {
  scene: DhcpScene;
  server: Process;
  daemon: Process;
}

const nodes = new WeakMap<Node, Served>();

export const servedOn = (node: Node): Served => nodes.get(node)!;

/** Links of a network with a DHCP server, which gives leases that need no renewal while a test runs. */
export const dhcp: Scenario = {
  name: "macvlan with dhcp",
  async prepare(node) {
    const scene = await DhcpScene.make(node);
    const range = "--dhcp-range=10.9.0.100,10.9.0.150,255.255.255.0,12h";
    const server = await scene.dnsmasq(range, "--dhcp-option=option:router,10.9.0.1");
    nodes.set(node, { scene, server, daemon: await scene.daemon() });
  },
  config: (node) => macvlan(node, { ipam: { type: "dhcp", daemonSocketPath: socketOf(node), dataDir: node.dataDir } }),
  // a server that heard too little of a disturbed call has the address back after the next one: it is the same client
  async end(stage) {
    const { scene, server } = servedOn(stage.node);
    const from = server.lines.length;
    await liveAgain(stage, await stateOf(stage));
    await server.line(/DHCPRELEASE/, { from });
    expect(scene.leased()).toHaveLength(stage.valid.length);
  },
};
