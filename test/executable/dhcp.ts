import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { type Config } from "./configs.ts";
import { executable, type Namespace, Node, reference } from "./harness.ts";

/** The reference's plugin is there. */
export const hasReference = reference.newest && existsSync(join(reference.folder, "dhcp"));

const HOSTILE = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
s.bind(("", 67))
print("ready")
refused = False
def find(options, code):
    at = 0
    while at < len(options) and options[at] != 255:
        if options[at] == code: return options[at + 2:at + 2 + options[at + 1]]
        at += 1 if options[at] == 0 else 2 + options[at + 1]
while True:
    said = s.recv(2000)
    kind, asked, renews = find(said[240:], 53)[0], find(said[240:], 50), said[12:16] != bytes(4)
    name = {1: "DISCOVER", 3: "REQUEST", 7: "RELEASE"}[kind]
    print(name, "for", ".".join(str(each) for each in asked or said[12:16]))
    if kind == 7: continue
    answer = 2 if kind == 1 else 5
    if renews and not refused: answer, refused = 6, True
    def message(options, xid=said[4:8], yours=bytes([10, 9, 0, 50])):
        head = bytes([2, 1, 6, 0]) + xid + bytes(8) + yours + bytes(8) + said[28:44] + bytes(192)
        return head + bytes([99, 130, 83, 99]) + options
    server = bytes([54, 4, 10, 9, 0, 1])
    lease = bytes([1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 0, 100, 58, 4, 0, 0, 0, 2])
    good = bytes([53, 1, answer]) + server + (lease if answer != 6 else bytes([56, 9]) + b"not yours") + b"\\xff"
    noise = [b"", b"x", message(b""), message(b"\\x35" * 1200), message(bytes([53, 1, answer, 1, 255])), message(bytes([52, 1, 3]) * 300)]
    noise += [message(good, b"none"), message(good)[:239], message(bytes([53, 1, 9]) + server + lease), bytes(1400)]
    noise += [message(bytes([53, 1, 5, 54, 4, 10, 9, 0, 99]) + lease)] if answer != 6 else []
    for each in noise + [message(good)]: s.sendto(each, ("255.255.255.255", 68))
`;

const live = new Set<Process>();
const scenes = new Set<DhcpScene>();

/** The namespaces of every scene that was made. */
export const sceneNamespaces = (): Namespace[] => [...scenes].flatMap(({ node, outside }) => [node, outside]);

/** Stops the programs that run in namespaces of which `which` is true. */
export async function stopProcesses(which: (namespace: Namespace) => boolean): Promise<void> {
  await Promise.all([...live].filter(({ namespace }) => which(namespace)).map(async (each) => each.stop()));
}

/** A program that runs on while a test looks at what it says, line by line. */
export class Process {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  /** it has ended, and all it said is here */
  readonly ended: Promise<void>;
  #waiting: (() => void)[] = [];
  #isSilent = false;

  constructor(
    readonly namespace: Namespace,
    command: string,
    args: string[],
    env?: Record<string, string>,
  ) {
    this.#child = spawn("nsenter", [`--net=${namespace.path}`, "--", command, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      ...(env && { env: { ...process.env, ...env } }),
    });
    live.add(this);
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      let held = "";
      stream.setEncoding("utf8").on("data", (text: string) => {
        const lines = (held + text).split("\n");
        held = lines.pop()!;
        this.lines.push(...lines);
        this.#tell();
      });
    }
    this.ended = new Promise((resolve) => {
      this.#child.on("close", () => {
        live.delete(this);
        this.#isSilent = true;
        this.#tell();
        resolve();
      });
    });
  }

  #tell(): void {
    for (const each of this.#waiting.splice(0)) each();
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** nsenter becomes the program. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves with the first line that matches, from the given one on; rejects when it ends before, or in time. */
  async line(pattern: RegExp, { from = 0, timeoutMs = 60_000 } = {}): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.lines.slice(from).find((line) => pattern.test(line));
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      if (left <= 0 || this.#isSilent) throw new Error(`no line like ${pattern}:\n${this.lines.join("\n")}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    this.#child.kill(signal);
    await this.ended;
    return this.#child.exitCode;
  }
}

/** Where the daemon of a node listens. */
export const socketOf = (node: Node): string => `${node.dataDir}/cni/dhcp.sock`;

/** A node whose `uplink` leads to a network with a DHCP server of Debian's, and podwire's daemon. */
export class DhcpScene {
  readonly folder: string;
  readonly socketPath: string;
  readonly leaseFile: string;

  private constructor(
    readonly node: Node,
    readonly outside: Namespace,
  ) {
    this.folder = node.dataDir;
    this.socketPath = socketOf(node);
    this.leaseFile = `${this.folder}/dnsmasq.leases`;
  }

  static async make(node?: Node): Promise<DhcpScene> {
    node ??= await Node.create();
    const outside = await node.outside();
    await outside.ip("address add 10.9.0.1/24 dev eth0");
    const scene = new DhcpScene(node, outside);
    scenes.add(scene);
    return scene;
  }

  /** dnsmasq on the network outside; every message is a line. */
  async dnsmasq(...args: string[]): Promise<Process> {
    const common = ["--no-daemon", "--conf-file=/dev/null", "--port=0", "--log-dhcp", "--no-ping", "--user=root"];
    const hasRange = args.some((arg) => arg.startsWith("--dhcp-range"));
    const range = hasRange ? [] : ["--dhcp-range=10.9.0.100,10.9.0.150,255.255.255.0,120s"];
    const place = ["--interface=eth0", `--dhcp-leasefile=${this.leaseFile}`];
    const server = new Process(this.outside, "/usr/sbin/dnsmasq", [...common, ...place, ...range, ...args]);
    await server.line(/DHCP, IP range/);
    return server;
  }

  /** kea on the network outside, with its times; every lease is a line. */
  async kea(times: object): Promise<Process> {
    const file = `${this.folder}/kea.json`;
    const config = {
      "interfaces-config": { interfaces: ["eth0/10.9.0.1"] },
      "lease-database": { type: "memfile", persist: false },
      ...times,
      subnet4: [
        {
          id: 1,
          subnet: "10.9.0.0/24",
          interface: "eth0",
          pools: [{ pool: "10.9.0.100 - 10.9.0.150" }],
          "option-data": [{ name: "routers", data: "10.9.0.1" }],
        },
      ],
      loggers: [{ name: "kea-dhcp4", severity: "INFO", output_options: [{ output: "stdout", flush: true }] }],
    };
    writeFileSync(file, JSON.stringify({ Dhcp4: config }));
    const folders = { KEA_PIDFILE_DIR: this.folder, KEA_LOCKFILE_DIR: "none" };
    const server = new Process(this.outside, "/usr/sbin/kea-dhcp4", ["-c", file], folders);
    await server.line(/DHCP4_STARTED/);
    return server;
  }

  /** A server that says NAK to the first renewal, and much that is no message before each answer. */
  async hostile(): Promise<Process> {
    const server = new Process(this.outside, "python3", ["-u", "-c", HOSTILE]);
    await server.line(/ready/);
    return server;
  }

  /** Every packet of that kind on the network outside, a line each, with MACs. */
  async capture(filter: string): Promise<Process> {
    const args = ["-i", "eth0", "-e", "-n", "-l", "-t", "--immediate-mode", filter];
    const capture = new Process(this.outside, "tcpdump", args);
    await capture.line(/listening on/);
    return capture;
  }

  /** The lines of dnsmasq's leases. */
  leaseLines(): string[] {
    return readFileSync(this.leaseFile, "utf8").split("\n").filter(Boolean);
  }

  /** What dnsmasq has given. */
  leased(): string[] {
    return this.leaseLines().map((line) => line.split(" ")[2]!);
  }

  /** Resolves once dnsmasq has given these addresses and no others: it says what it heard before it writes it down. */
  async hasLeased(addresses: readonly string[]): Promise<void> {
    const has = (): void => expect(this.leased().toSorted()).toEqual(addresses.toSorted());
    await vi.waitFor(has, { timeout: 60_000, interval: 20 });
  }

  /** The reference's daemon, at a socket of its own, and a configuration for it. */
  async reference(): Promise<{ config(config: Config): Config }> {
    const socketPath = `${this.folder}/reference.sock`;
    const daemon = new Process(this.node, join(reference.folder, "dhcp"), ["daemon", "-socketpath", socketPath]);
    // it says nothing: who starts it waits for its socket
    const waiting = `until [ -S ${socketPath} ]; do kill -0 ${daemon.pid} || exit 1; sleep 0.05; done`;
    await this.node.must("timeout", "60", "sh", "-c", waiting);
    return {
      config: (own) => ({ ...own, ipam: { ...(own.ipam as object), daemonSocketPath: socketPath } }),
    };
  }

  /** podwire's daemon, listening. */
  async daemon(...args: string[]): Promise<Process> {
    const daemon = this.startDaemon([], args);
    await daemon.line(/listens at/);
    return daemon;
  }

  /** podwire's daemon, executed by a command that becomes it. */
  startDaemon([command = executable, ...before]: string[], args: string[]): Process {
    const own = ["dhcp-daemon", "--socketpath", this.socketPath, ...args];
    return new Process(this.node, command, [...before, ...(before.length > 0 ? [executable] : []), ...own]);
  }

  /** A configuration of the network "net" whose addresses come from the server. */
  config(more: Record<string, unknown> = {}, ipam: object = {}): Config {
    return {
      cniVersion: "1.1.0",
      name: "net",
      type: "macvlan",
      master: "uplink",
      ...more,
      ipam: { type: "dhcp", daemonSocketPath: this.socketPath, ...ipam },
    };
  }

  /** Files of leases the daemon keeps. */
  kept(): string[] {
    const folder = `${this.socketPath}.leases`;
    return existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith(".")) : [];
  }
}
