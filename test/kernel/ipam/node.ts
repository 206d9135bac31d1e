import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import { type HostLocalConfig, parseIpamConfig } from "../../../src/ipam/config.ts";
import type { Knowledge } from "../../../src/node/record.ts";
import { addLease, type Leased } from "../../../src/ipam/leases.ts";
import { type Liveness, runMarker } from "../../../src/node/liveness.ts";
import { formatIp } from "../../../src/net/ip.ts";

const nodes: LeaseNode[] = [];
afterEach(() => {
  for (const node of nodes.splice(0)) rmSync(node.root, { recursive: true, force: true });
});

/** One range set of each family. */
export const dual = [[{ subnet: "10.9.0.0/24" }], [{ subnet: "fd00:9::/64" }]];

export const owner = (containerId: string, ifname = "eth0") => ({ containerId, ifname });

/** A folder of leases, and a machine made of files: links, namespaces with their cookies, addresses in use, /run. */
export class LeaseNode {
  readonly root = mkdtempSync(join(tmpdir(), "podwire-leases-"));
  readonly dataDir = join(this.root, "data");
  readonly network = "net";
  readonly folder = { dataDir: this.dataDir, network: this.network };
  readonly liveness: Liveness = {
    linkExists: (name) => existsSync(join(this.root, "links", name)),
    namespaceCookie: (path) => (existsSync(path) ? BigInt(readFileSync(path, "utf8")) : undefined),
    addressInUse: (ip) => existsSync(join(this.root, "addresses", formatIp(ip))),
    bootTime: () => BigInt(Math.round(statSync(join(this.root, "boot")).mtimeMs)) * 1_000_000n,
    marker: () => runMarker(join(this.root, "run")),
  };

  constructor() {
    nodes.push(this);
    for (const folder of ["links", "netns", "addresses", "run"]) mkdirSync(join(this.root, folder));
    writeFileSync(join(this.root, "boot"), "");
    this.bootedAt(Date.now() - 3_600_000);
  }

  bootedAt(milliseconds: number): void {
    utimesSync(join(this.root, "boot"), milliseconds / 1000, milliseconds / 1000);
  }

  /** The machine started again: /run is empty, no link or namespace is left. */
  reboot(): void {
    for (const folder of ["links", "netns", "run"]) rmSync(join(this.root, folder), { recursive: true });
    for (const folder of ["links", "netns", "run"]) mkdirSync(join(this.root, folder));
    this.bootedAt(Date.now() + 1000);
  }

  config(ranges: object[][] = [[{ subnet: "10.9.0.0/24" }]], more: object = {}, ipam: object = {}): HostLocalConfig {
    const config = { cniVersion: "1.0.0", ipam: { dataDir: this.dataDir, ranges, ...ipam }, ...more };
    return parseIpamConfig({ verb: "ADD", args: "", network: this.network, config });
  }

  /** A lease as `bridge` makes it, of a pod that lives: with a host veth and a namespace. */
  addPod(config: HostLocalConfig, containerId: string): Leased {
    const knowledge = {
      hostVeth: `veth-${containerId}`,
      netns: join(this.root, "netns", containerId),
      cookie: BigInt(Math.floor(Math.random() * 1e9)),
      parts: [],
    };
    writeFileSync(join(this.root, "links", knowledge.hostVeth), "");
    writeFileSync(knowledge.netns, `${knowledge.cookie}`);
    return this.add(config, containerId, knowledge);
  }

  add(config: HostLocalConfig, containerId: string, knowledge?: Knowledge): Leased {
    return addLease(config, owner(containerId), this.liveness, knowledge);
  }

  removeLink(containerId: string): void {
    rmSync(join(this.root, "links", `veth-${containerId}`));
  }

  removeNamespace(containerId: string): void {
    rmSync(join(this.root, "netns", containerId));
  }

  path(name: string): string {
    return join(this.dataDir, this.network, name);
  }

  aside(name = ""): string {
    return join(this.dataDir, ".podwire", this.network, name);
  }

  /** A lease as the reference writes it, and its cursor; or any other content. */
  write(ip: string, content: string): void {
    mkdirSync(join(this.dataDir, this.network), { recursive: true });
    writeFileSync(this.path(ip), content, { mode: 0o600 });
  }

  /** Every file of the folder that is named by an address, with its content (folders: "folder"). */
  leases(): Record<string, string> {
    if (!existsSync(this.path(""))) return {};
    const names = readdirSync(this.path(""))
      .filter((name) => !/^(lock|last_reserved_ip\.\d+)$/.test(name))
      .sort();
    return Object.fromEntries(
      names.map((name) => [
        name,
        statSync(this.path(name)).isFile() ? readFileSync(this.path(name), "utf8") : "no file",
      ]),
    );
  }

  /** Names of what podwire keeps beside the leases, its own bookkeeping left out. */
  records(): string[] {
    return existsSync(this.aside())
      ? readdirSync(this.aside())
          .filter((name) => !/^\.(census|stamp)$/.test(name))
          .sort()
      : [];
  }
}

export const addresses = (leased: Pick<Leased, "ips">): string[] =>
  leased.ips.map(({ address }) => formatIp(address.ip));
