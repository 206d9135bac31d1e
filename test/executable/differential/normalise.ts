import {
  reference,
  withoutCarrier,
  type Answer,
  type CniResult,
  type IpLink,
  type Namespace,
  type Node,
} from "../harness.ts";

/** The node and the pods of one run: what their names stand for is the same on both sides, the names are not. */
export interface Naming {
  node: Node;
  pods: Namespace[];
}

/*
 * What is taken out before two runs are compared, and why:
 * - MACs, names of host veths, namespace paths and IPv6 link-local addresses: random, or made from random ones
 * - `mtu` of interfaces in 1.1.0 results: the specification has it, the reference never fills it
 * - text, code and details of errors: podwire's are its own (only that both fail is compared)
 * - the alias of host veths: podwire's own
 * - firewall rules: podwire's are its own; what they do to packets is compared where a scenario says so
 * - the queue length of pod links, where the reference is Debian's v1.1.1: it sets none
 * - the newline that ends podwire's answers
 * - results of loopback below 1.0.0: the reference prints the 1.x layout under an old version's label
 */

export interface Forms {
  /** the printed form counts, too */
  exact: boolean;
  /** the result does not count */
  loose: boolean;
  /** of the node and its pods; absent: those that are there now */
  links?: IpLink[][];
}

/** An answer in comparable form. */
export async function normalise(answer: Answer, naming: Naming, { exact, loose, links }: Forms): Promise<object> {
  if (answer.exitCode !== 0) return { failed: true, code: typeof answer.error?.code };
  if (answer.result === undefined) return { failed: false, stdout: answer.stdout };
  if (loose) return { failed: false };
  const result = await rename(withoutMtu(answer.result), naming, links);
  // the printed form of a result counts too: indentation and the order of keys
  const printed = exact ? result : (JSON.parse(result) as CniResult);
  if (typeof printed === "object" && JSON.stringify(printed.dns) === "{}") delete printed.dns;
  return { failed: false, printed };
}

function withoutMtu(result: CniResult): CniResult {
  const { interfaces } = result;
  if (interfaces === undefined) return result;
  return { ...result, interfaces: interfaces.map(({ mtu: _mtu, ...rest }) => rest) };
}

/** Printed JSON with every name that differs between runs replaced by what it stands for. */
async function rename(value: unknown, naming: Naming, links?: IpLink[][]): Promise<string> {
  const { node, pods } = naming;
  const [host, ...inPods] = links ?? (await Promise.all([node, ...pods].map(async (each) => each.links())));
  const names = new Map<string, string>();
  for (const [index, pod] of pods.entries()) {
    names.set(pod.path, `path of pod ${index}`);
    for (const link of inPods[index] ?? []) {
      const peer =
        link.link_netnsid === undefined ? undefined : host?.find(({ ifindex }) => ifindex === link.link_index);
      if (peer !== undefined && peer.ifname !== "uplink") names.set(peer.ifname, `veth of pod ${index}`);
    }
  }
  let text = JSON.stringify(value, null, 4);
  for (const [name, meaning] of names) text = text.replaceAll(`"${name}"`, `"${meaning}"`);
  return text.replace(/"(?!02:00:00:00:00:99)(?:[0-9a-f]{2}:){5}[0-9a-f]{2}"/g, '"MAC"');
}

/** What is there now: the node's links, main routes, forwarding and lease folder, and the same of every pod. */
export async function podState(naming: Naming): Promise<unknown> {
  const { node, pods } = naming;
  const seen = await Promise.all([node, ...pods].map(async (each) => each.overview()));
  const links = seen.map((each) => each.links.map(comparable));
  const routes = seen.map((each) =>
    each.routes
      .filter(({ dst }) => !dst.startsWith("fe80:"))
      .map((route) => ({ ...route, flags: withoutCarrier(route.flags) })),
  );
  const text = await rename(
    { links, routes },
    naming,
    seen.map((each) => each.links),
  );
  const renamed = JSON.parse(text) as { links: object[][]; routes: object[][] };
  return {
    links: renamed.links.map((list) => list.sort(byText)),
    routes: renamed.routes.map((list) => list.sort(byText)),
    forwarding: seen[0]?.forwarding,
    leases: leaseFolder(node),
  };
}

const byText = (a: object, b: object): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

function comparable(link: IpLink): object {
  const { ifname, address, mtu, master, promiscuity, txqlen, linkinfo } = link;
  const { hairpin, isolated } = (linkinfo?.info_slave_data ?? {}) as { hairpin?: boolean; isolated?: boolean };
  const addresses = link.addr_info
    .filter(({ local }) => !local.startsWith("fe80:"))
    .map(({ local, prefixlen, broadcast, scope }) => ({ local, prefixlen, broadcast, scope }));
  const up = link.flags.includes("UP");
  const queue = reference.newest ? { txqlen } : {};
  return {
    ifname,
    kind: linkinfo?.info_kind,
    address,
    mtu,
    master,
    promiscuity,
    ...queue,
    hairpin,
    isolated,
    up,
    addresses,
  };
}

/** Leases, cursors and lock by name, with their content. */
function leaseFolder(node: Node): Record<string, string> {
  const files = Object.entries(node.leases({ all: true }));
  return Object.fromEntries(
    files.filter(([path]) => /\/([0-9a-f]*[.:][0-9a-f.:]*|lock|last_reserved_ip\.\d+)$/.test(path)),
  );
}
