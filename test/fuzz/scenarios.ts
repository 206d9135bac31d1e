import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { execFileSync, spawnSync } from "node:child_process";
import { loadConf } from "../harness/chain.ts";

/** One call of podwire, as a runtime or a person makes it. */
export interface Call {
  name: string;
  argv: string[];
  environment: string[];
  stdin: string;
}

type Json = Record<string, unknown>;
/** Makes the call, and returns what it printed. */
export type Make = (call: Call) => string;

const PLUGINS = "/run/cni-plugins";
const FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin";
const resolvConf = "/run/resolv.conf";

/** What the scenarios find on the machine: an uplink, pods, an IPAM plugin of somebody else's, a resolv.conf. */
export function prepare(): void {
  mkdirSync(PLUGINS, { recursive: true });
  const answer = JSON.stringify({
    cniVersion: "1.0.0",
    ips: [{ address: "10.9.0.5/24", gateway: "10.9.0.1" }, { address: "fd00:9::5/64" }],
    routes: [{ dst: "0.0.0.0/0" }],
    dns: { nameservers: ["10.9.0.1"] },
  });
  writeFileSync(
    `${PLUGINS}/other`,
    `#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = ADD ] && echo '${answer}'\nexit 0\n`,
  );
  writeFileSync(
    `${PLUGINS}/broken`,
    `#!/bin/sh\ncat >/dev/null\necho '{"cniVersion":"1.0.0","code":11,"msg":"not now"}'\nexit 1\n`,
  );
  for (const name of ["other", "broken"]) chmodSync(`${PLUGINS}/${name}`, 0o755);
  const servers = ["nameserver 10.9.0.1", "nameserver fd00:9::1"];
  const lines = [
    "# a comment",
    "domain example.org",
    "search example.org other.example",
    ...servers,
    "options ndots:5",
  ];
  writeFileSync(resolvConf, lines.map((line) => `${line}\n`).join(""));
  ip("link add uplink type veth peer name far");
  ip("link set uplink up");
  ip("link set far up");
  ip("address add 192.0.2.1/24 dev uplink");
  ip("address add 2001:db8::1/64 dev uplink nodad");
  ip("route add default via 192.0.2.2");
}

const ip = (line: string): void => void execFileSync("ip", line.split(" "));

let pods = 0;
function pod(): Pod {
  pods += 1;
  ip(`netns add pod${pods}`);
  return { netns: `/run/netns/pod${pods}`, containerId: `container-${pods}` };
}

interface Pod {
  netns: string;
  containerId: string;
  ifname?: string;
  args?: string;
}

/** One verb of one plugin, and its result; the name of the call is made of them and `what`. */
// oxlint-disable-next-line max-params -- one line of the scenarios is one call
function call(make: Make, what: string, verb: string, { type, ...config }: Json, to: Partial<Pod> = {}): Json {
  const { netns, containerId, ifname = "eth0", args } = to;
  const plugin = String(type ?? "host-local");
  const environment = [
    `PATH=${FOLDERS}`,
    `CNI_COMMAND=${verb}`,
    `CNI_PATH=${PLUGINS}`,
    ...(containerId ? [`CNI_CONTAINERID=${containerId}`, `CNI_NETNS=${netns}`, `CNI_IFNAME=${ifname}`] : []),
    ...(args ? [`CNI_ARGS=${args}`] : []),
  ];
  const stdin = JSON.stringify(type === undefined ? config : { type, ...config });
  const printed = make({ name: `${plugin} ${what} ${verb}`, argv: [`/opt/cni/bin/${plugin}`], environment, stdin });
  const answer = printed === "" ? {} : (JSON.parse(printed) as Json);
  return "code" in answer ? {} : answer; // what failed is nobody's prevResult
}

const defaults = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
const ranges = (n: number) => [[{ subnet: `10.${n}.0.0/24` }], [{ subnet: `fd00:${n}::/64` }]];
/** The built-in IPAM with one address of each family. */
const leased = (n: number): Json => ({ type: "host-local", ranges: ranges(n) });
const network = (name: string, type: string, more: Json): Json & { type: string } => ({
  cniVersion: "1.1.0",
  name,
  type,
  ...more,
});

/** ADD, CHECK and DEL of an interface, and DEL again. */
function cycle(make: Make, what: string, config: Json, to: Partial<Pod> = {}): void {
  const one = { ...pod(), ...to };
  const prevResult = call(make, what, "ADD", config, one);
  call(make, what, "CHECK", { ...config, prevResult }, one);
  call(make, what, "DEL", { ...config, prevResult }, one);
  call(make, `${what}, nothing there`, "DEL", config, one);
  clear(config.bridge);
}

/** What pods of a network share goes, so that lists in the recording stay short. */
function clear(bridge: unknown): void {
  spawnSync("nft", ["flush", "ruleset"]);
  if (typeof bridge === "string") spawnSync("ip", ["link", "delete", bridge]);
}

/** A chain as libcni runs it: ADD, CHECK, DEL. */
function chain(make: Make, file: string, capabilities: Json): void {
  const { plugins, name } = loadConf(file);
  const cniVersion = "1.0.0";
  const one = pod();
  const runtimeConfig = (plugin: Json): Json => (plugin.capabilities ? { runtimeConfig: capabilities } : {});
  const configOf = (plugin: Json): Json => ({ ...plugin, cniVersion, name, ...runtimeConfig(plugin) });
  let prevResult: Json | undefined;
  for (const plugin of plugins) {
    prevResult = call(make, file, "ADD", { ...configOf(plugin), ...(prevResult && { prevResult }) }, one);
  }
  for (const plugin of plugins) call(make, file, "CHECK", { ...configOf(plugin), prevResult }, one);
  for (const plugin of plugins.toReversed()) call(make, file, "DEL", { ...configOf(plugin), prevResult }, one);
  clear(plugins[0]!.bridge);
}

const portMappings = [
  { hostPort: 8080, containerPort: 80, protocol: "tcp" },
  { hostPort: 5353, containerPort: 53, protocol: "udp", hostIP: "192.0.2.1" },
  { hostPort: 8443, containerPort: 443, protocol: "tcp", hostIP: "::" },
];

export function interfaces(make: Make): void {
  const interfaceOf = (what: string, type: string, more: Json, to: Partial<Pod> = {}): void =>
    cycle(make, what, network(what.replaceAll(" ", "-"), type, more), to);
  const mac = "0a:58:0a:09:00:06";
  interfaceOf("plain", "loopback", {}, { ifname: "lo" });
  interfaceOf("alone", "bridge", { bridge: "br-l2" });
  interfaceOf("v4", "bridge", { bridge: "br4", ipam: { type: "host-local", subnet: "10.9.0.0/24" } });
  const gateway = { isDefaultGateway: true, ipMasq: true };
  const log = { level: "debug", file: "/run/podwire.log" };
  const dual = {
    bridge: "br-dual",
    ...gateway,
    hairpinMode: true,
    mtu: 1400,
    log,
    ipam: { ...leased(10), resolvConf },
  };
  interfaceOf("dual stack", "bridge", dual);
  const isolated = { isGateway: true, promiscMode: true, portIsolation: true, macspoofchk: true };
  const args = `MAC=${mac};IgnoreUnknown=1;K8S_POD_NAME=x`;
  interfaceOf("isolated", "bridge", { bridge: "br-iso", ...isolated, ipam: leased(11) }, { args });
  const vlans = { vlan: 100, vlanTrunk: [{ id: 101 }, { minID: 200, maxID: 220 }] };
  interfaceOf("VLANs", "bridge", { bridge: "br-vlan", ...vlans, isGateway: true, ipam: leased(12) });
  const mapped = { capabilities: { portMappings: true }, runtimeConfig: { portMappings, mac } };
  interfaceOf("mapped", "bridge", { bridge: "br-map", ...gateway, ...mapped, ipam: leased(13) });
  const asked = { args: { cni: { ips: ["10.9.0.5"] } } };
  interfaceOf("delegated", "bridge", {
    bridge: "br-del",
    isGateway: true,
    enabledad: true,
    ipam: { type: "other" },
    ...asked,
  });
  interfaceOf("v4", "ptp", { ipam: { type: "host-local", subnet: "10.15.0.0/24", routes: defaults.slice(0, 1) } });
  const routes = [...defaults, { dst: "10.99.0.0/16", gw: "10.16.0.1", mtu: 1300, priority: 5 }];
  const dns = { nameservers: ["10.9.0.1"], search: ["a.example"] };
  interfaceOf("dual stack", "ptp", { ipMasq: true, mtu: 1400, dns, ipam: { ...leased(16), routes } });
  interfaceOf("link-local", "ptp", {
    gatewayMode: "link-local",
    ipMasq: true,
    ipam: { ...leased(17), routes: defaults },
  });
  const alone = (name: string, ipam: Json, more: Json = {}): Json => ({
    cniVersion: "1.0.0",
    name,
    type: "host-local",
    ipam,
    ...more,
  });
  cycle(make, "addresses", alone("addresses", { ...leased(18), routes: defaults, resolvConf }));
  const prevResult = { cniVersion: "1.0.0", ips: [{ address: "10.9.0.2/24" }] };
  cycle(make, "after another", alone("after", leased(19), { prevResult }));
  cycle(make, "asked for", alone("asked", leased(20), { runtimeConfig: { ips: ["10.20.0.77/24"] } }), {
    args: "IgnoreUnknown=true",
  });
  for (const file of ["kindnet-dual-stack.conflist", "bridge-portmap.conflist"]) chain(make, file, { portMappings });
}

/** What needs iptables, whose chains stay. */
export function iptables(make: Make): void {
  const masquerade = { ipMasq: true, ipMasqBackend: "iptables" };
  cycle(
    make,
    "iptables",
    network("iptables", "bridge", { bridge: "br-ipt", isGateway: true, ...masquerade, ipam: leased(14) }),
  );
  const runtimeConfig = { portMappings: portMappings.slice(0, 2) };
  const portmap = network("mapped2", "portmap", { backend: "iptables", snat: true, markMasqBit: 13, runtimeConfig });
  const prevResult = {
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth0", sandbox: "/run/netns/pod1" }],
    ips: [{ address: "10.22.0.5/24", gateway: "10.22.0.1", interface: 0 }],
    routes: [],
  };
  cycle(make, "iptables", { ...portmap, prevResult });
}

/** Calls about more than one attachment, and those that fail. */
export function more(make: Make): void {
  const dual = network("dual", "bridge", { bridge: "br-dual", isGateway: true, ipMasq: true, ipam: leased(10) });
  const [one, two, three] = [pod(), pod(), pod()];
  const prevResult = call(make, "second", "ADD", dual, one);
  call(make, "twice", "ADD", dual, one);
  ip(`netns delete ${three.netns.slice("/run/netns/".length)}`);
  call(make, "without a namespace", "ADD", dual, three);
  call(make, "of another", "CHECK", { ...dual, prevResult }, two);
  const small = network("small", "bridge", {
    bridge: "br-small",
    ipam: { type: "host-local", subnet: "10.21.0.0/30" },
  });
  call(make, "in a small network", "ADD", small, pod());
  call(make, "in a full network", "ADD", small, pod());
  call(make, "refused by its IPAM", "ADD", network("broken", "bridge", { ipam: { type: "broken" } }), pod());
  const ipam = { type: "host-local", ranges: [[{ subnet: "10.9.0.0/33" }]] };
  call(make, "wrong", "ADD", network("wrong", "bridge", { bridge: "a b", mtu: -1, vlan: 5000, ipam }), pod());
  person(make, "leases");
  person(make, "leases", "--network", "dual");
  person(make, "leases", "--data-dir", "/run/nowhere");
  const attachments = { "cni.dev/valid-attachments": [{ containerID: one.containerId, ifname: "eth0" }] };
  const addresses = { cniVersion: "1.1.0", name: "addresses", ipam: leased(18) };
  const others = [addresses, network("x", "ptp", { ipam: leased(16) }), network("dual", "portmap", {})];
  for (const config of [dual, small, ...others]) {
    call(make, "", "GC", { ...config, ...attachments });
    call(make, "", "STATUS", config);
  }
  call(make, "", "STATUS", network("dual", "portmap", { backend: "iptables" }));
  call(make, "last", "DEL", { ...dual, prevResult }, one);
  for (const config of [{}, { cniVersion: "0.3.1" }, { cniVersion: "9.0.0" }]) {
    call(make, JSON.stringify(config), "VERSION", { type: "bridge", ...config });
  }
}

function person(make: Make, ...args: string[]): void {
  make({ name: `podwire ${args.join(" ")}`, argv: ["podwire", ...args], environment: [`PATH=${FOLDERS}`], stdin: "" });
}

/** What people ask for. */
export function people(make: Make): void {
  person(make);
  for (const words of ["--version", "help", "nonsense", "leases --help", "leases --nonsense"]) {
    person(make, ...words.split(" "));
  }
  for (const words of ["/run/bin --dry-run", "/run/bin"]) person(make, "install", "--bin-dir", ...words.split(" "));
  person(make, "install", "--names", "bridge,x");
  make({ name: "bare plugin", argv: ["/opt/cni/bin/ptp"], environment: [], stdin: "" });
  make({ name: "no arguments", argv: [], environment: [], stdin: "" });
}
