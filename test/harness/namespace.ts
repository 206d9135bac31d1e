import { requireIsolation } from "./paths.ts";
import { type Outcome, type ProgramOptions, runProgram } from "./program.ts";
import { connect, listen, type Connection, type ConnectOptions, type ListenOptions, type Listener } from "./traffic.ts";

export type { Outcome } from "./program.ts";
export type RunOptions = Omit<ProgramOptions, "netns">;

/** As `ip -j address` prints a link, as far as tests look at it. */
export interface IpLink {
  ifindex: number;
  ifname: string;
  ifalias?: string;
  address: string;
  mtu: number;
  flags: string[];
  operstate: string;
  master?: string;
  link_index?: number;
  link_netnsid?: number;
  linkinfo?: {
    info_kind: string;
    info_data?: Record<string, unknown>;
    info_slave_kind?: string;
    info_slave_data?: Record<string, unknown>;
  };
  addr_info: IpAddress[];
  [key: string]: unknown;
}

export interface IpAddress {
  family: "inet" | "inet6";
  local: string;
  prefixlen: number;
  scope: string;
  tentative?: boolean;
  [key: string]: unknown;
}

/** As `ip -j route` prints a route. */
export interface IpRoute {
  dst: string;
  gateway?: string;
  dev?: string;
  scope?: string;
  prefsrc?: string;
  metric?: number;
  table?: string;
  flags: string[];
  [key: string]: unknown;
}

/** How long something is waited for that comes at once, where the machine is not busy. */
const PATIENCE_S = 20;
let count = 0;

/** One network namespace of `ip netns`, with what tests do in it and read of it. */
export class Namespace {
  readonly path: string;
  readonly #listeners = new Set<Listener>();

  protected constructor(readonly name: string) {
    this.path = `/run/netns/${name}`;
  }

  /** Makes a namespace whose name starts with `kind`; its `lo` is up unless asked otherwise. */
  static async make(kind: string, { up = true } = {}): Promise<Namespace> {
    const namespace = new Namespace(Namespace.newName(kind));
    await namespace.create(up);
    return namespace;
  }

  /** A namespace that another program made under that name. */
  static named(name: string): Namespace {
    return new Namespace(name);
  }

  protected static newName(kind: string): string {
    count += 1;
    return `${kind}-${process.pid}-${count}`;
  }

  protected async create(up: boolean): Promise<void> {
    requireIsolation();
    const { exitCode, stderr } = await runProgram("ip", ["netns", "add", this.name]);
    if (exitCode !== 0) throw new Error(`ip netns add ${this.name}: exit ${exitCode}: ${stderr}`);
    if (up) await this.ip("link set lo up");
  }

  /** Runs a program in the namespace; a non-zero exit is an outcome, not an exception. */
  async run(command: string, args: string[] = [], options: RunOptions = {}): Promise<Outcome> {
    return runProgram(command, args, { ...options, netns: this.path });
  }

  /** Runs a program that must succeed, and returns what it printed. */
  async must(command: string, ...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, args);
    if (exitCode !== 0) {
      throw new Error(`${[command, ...args].join(" ")} in ${this.name}: exit ${exitCode}: ${stderr || stdout}`);
    }
    return stdout;
  }

  /** Runs `ip` with one line of arguments. */
  async ip(line: string): Promise<string> {
    return this.must("ip", ...line.split(" "));
  }

  /** Runs `ip -j` with one line of arguments and parses what it prints. */
  async ipJson<T = unknown>(line: string): Promise<T> {
    const text = await this.must("ip", "-j", ...line.split(" "));
    return JSON.parse(text.trim() === "" ? "[]" : text) as T;
  }

  /** Every link with its addresses, in the kernel's order. */
  async links(): Promise<IpLink[]> {
    return this.ipJson<IpLink[]>("-d address show");
  }

  async link(name: string): Promise<IpLink | undefined> {
    return (await this.links()).find((link) => link.ifname === name);
  }

  /** Addresses of a link as text, `10.9.0.2/24`; link-local IPv6 ones left out unless asked for. */
  async addresses(name: string, { linkLocal = false } = {}): Promise<string[]> {
    const link = await this.link(name);
    if (link === undefined) throw new Error(`no link ${name} in ${this.name}`);
    return link.addr_info
      .filter(({ local }) => linkLocal || !local.startsWith("fe80:"))
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  }

  /** Routes of a family in a table (main when not said). */
  async routes(family: 4 | 6 = 4, table = "main"): Promise<IpRoute[]> {
    return this.ipJson<IpRoute[]>(`-${family} route show table ${table}`);
  }

  /** Links with addresses, main routes of both families and forwarding switches, read by one program. */
  async overview(): Promise<{ links: IpLink[]; routes: IpRoute[]; forwarding: string }> {
    const script =
      "ip -j -d address; echo; ip -j -4 route; echo; ip -j -6 route; echo; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding";
    const text = await this.must("sh", "-c", script);
    const [links, routes4, routes6, forward4, forward6] = text.split("\n").filter((line) => line.trim() !== "");
    const parse = (line: string | undefined): unknown => JSON.parse(line ?? "[]");
    return {
      links: parse(links) as IpLink[],
      routes: [...(parse(routes4) as IpRoute[]), ...(parse(routes6) as IpRoute[])],
      forwarding: `${forward4} ${forward6}`,
    };
  }

  /** The ruleset as `nft -j list ruleset` gives it, without its header. */
  async ruleset(): Promise<Record<string, Record<string, unknown>>[]> {
    const { nftables } = JSON.parse(await this.must("nft", "-j", "list", "ruleset")) as {
      nftables: Record<string, Record<string, unknown>>[];
    };
    return nftables.filter((entry) => !("metainfo" in entry));
  }

  /** The ruleset as text, without counters and handles. */
  async rulesetText(): Promise<string> {
    return this.must("nft", "--stateless", "list", "ruleset");
  }

  /** A sysctl of the namespace; `path` is relative to /proc/sys. */
  async sysctl(path: string): Promise<string> {
    return (await this.must("cat", `/proc/sys/${path}`)).trim();
  }

  async setSysctl(path: string, value: string | number): Promise<void> {
    await this.must("sh", "-c", 'printf %s "$2" > "$1"', "sh", `/proc/sys/${path}`, `${value}`);
  }

  /**
   * True when one echo request is answered; the first to arrive is enough. The time is for a machine that is busy: where
   * silence is expected, `timeoutS` says how much of it.
   */
  async ping(address: string, { timeoutS = PATIENCE_S, args = [] as string[] } = {}): Promise<boolean> {
    return (
      (await this.run("ping", ["-n", "-c", "1", "-i", "0.2", "-w", `${timeoutS}`, ...args, address])).exitCode === 0
    );
  }

  /** Starts a server that answers every client with what it saw of it; stopped with the namespace. */
  async listen(port: number, options: ListenOptions = {}): Promise<Listener> {
    const listener = await listen(this.path, port, options);
    this.#listeners.add(listener);
    return listener;
  }

  /**
   * Connects to a server made by `listen` and returns what it saw; rejects when it refuses or does not answer in time.
   */
  async connect(address: string, port: number, options: ConnectOptions = {}): Promise<Connection> {
    return connect(this.path, { address, port }, options);
  }

  /**
   * Which of these addresses answer: all are waited for that are to answer, a second's silence is enough of the others.
   */
  async reached(expected: Record<string, boolean>): Promise<Record<string, boolean>> {
    const replies = Object.entries(expected).map(async ([address, answers]) => [
      address,
      await this.ping(address, answers ? {} : { timeoutS: 1 }),
    ]);
    return Object.fromEntries(await Promise.all(replies)) as Record<string, boolean>;
  }

  /** Resolves once a link takes packets: a worker of the kernel has to see its carrier first. */
  async whenUp(name: string): Promise<void> {
    for (const since = Date.now(); (await this.link(name))?.operstate !== "UP";) {
      if (Date.now() - since > PATIENCE_S * 1000) throw new Error(`${name} in ${this.name} does not come up`);
    }
  }

  /** The inode that tells this namespace from others. */
  async inode(): Promise<string> {
    return (await this.must("readlink", "/proc/self/ns/net")).trim();
  }

  /** Stops the servers made by `listen`. */
  async stopListening(): Promise<void> {
    await Promise.all([...this.#listeners].map(async (listener) => listener.stop()));
    this.#listeners.clear();
  }

  /**
   * Deletes it with its links: `remove` leaves those to a worker of the kernel, and their peers are seen for some time
   * yet.
   */
  async vanish(): Promise<void> {
    for (const { ifname, link_netnsid: peer } of await this.links()) {
      if (peer !== undefined) await this.ip(`link delete ${ifname}`);
    }
    await this.remove();
  }

  /** Stops its servers and deletes it; deleting twice is no error. */
  async remove(): Promise<void> {
    await this.stopListening();
    await runProgram("ip", ["netns", "delete", this.name]);
  }
}
