import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import type { NetworkList, Node } from "./harness.ts";
import { SUBNET_ENV } from "../executable/configs.ts";

/**
 * A second network of a pod, on the node's own wire, as multus' quick start has it, but for its second default route.
 */
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
