import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import type { NetworkList, Node } from "./harness.ts";
import { SUBNET_ENV } from "../executable/configs.ts";

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

/** A second network of a pod, on the node's own wire, as multus' quick start has it, but for its second default route. */
export const second: NetworkList = {
  cniVersion: "0.3.1",
  name: "macvlan-conf",
  plugins: [
    {
      type: "macvlan",
      master: "uplink",
      mode: "bridge",
      ipam: { type: "host-local", subnet: "192.168.1.0/24", rangeStart: "192.168.1.200", rangeEnd: "192.168.1.216" },
    },
    { type: "tuning" },
  ],
};

/** What flanneld writes for a node, where its plugin looks for it. */
export function flanneld(): void {
  mkdirSync("/run/flannel", { recursive: true });
  writeFileSync("/run/flannel/subnet.env", SUBNET_ENV);
}

const folders = ["/var/lib/cni", "/run/cni", "/run/podwire", "/run/netns"];

/** All of a node that a pod could leave something in; of files, which there are, without locks and cursors. */
export async function everything(node: Node): Promise<object> {
  const files = folders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder, { recursive: true }).map((file) => `${folder}/${String(file)}`));
  return { ...(await node.snapshot()), files: files.filter((file) => !/last_reserved_ip|lock$/.test(file)).toSorted() };
}
