import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { afterEach } from "vitest";
import { type Config } from "./configs.ts";
import { executable, type Namespace, Node, temporaryFolder } from "./harness.ts";

const live = new Set<Process>();
afterEach(async () => {
  await Promise.all([...live].map(async (each) => each.stop()));
});

/** A program that runs on while a test looks at what it says, line by line. */
export class Process {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #waiting: (() => void)[] = [];

  constructor(namespace: Namespace, command: string, args: string[], env?: Record<string, string>) {
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
    this.#ended = new Promise((resolve) => {
      this.#child.on("close", () => {
        live.delete(this);
        this.#tell();
        resolve();
      });
    });
  }

  #tell(): void {
    for (const each of this.#waiting.splice(0)) each();
  }

  /** nsenter becomes the program. */
  get pid(): number {
    return this.#child.pid!;
  }

  /** Resolves with the first line that matches, from the given one on; rejects when it ends before, or in time. */
  async line(pattern: RegExp, { from = 0, timeoutMs = 20_000 } = {}): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.lines.slice(from).find((line) => pattern.test(line));
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      const hasEnded = this.#child.exitCode !== null || this.#child.signalCode !== null;
      if (left <= 0 || hasEnded) throw new Error(`no line like ${pattern}:\n${this.lines.join("\n")}`);
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
    await this.#ended;
    return this.#child.exitCode;
  }
}

/** A node whose `uplink` leads to a network with a DHCP server of Debian's, and podwire's daemon. */
export class DhcpScene {
  readonly folder = temporaryFolder("dhcp");
  readonly socketPath = `${this.folder}/cni/dhcp.sock`;

  private constructor(
    readonly node: Node,
    readonly outside: Namespace,
  ) {}

  static async make(): Promise<DhcpScene> {
    const node = await Node.create();
    const outside = await node.outside();
    await outside.ip("address add 10.9.0.1/24 dev eth0");
    return new DhcpScene(node, outside);
  }

  /** dnsmasq on the network outside; every message is a line. */
  async dnsmasq(...args: string[]): Promise<Process> {
    const common = [
      "--no-daemon",
      "--conf-file=/dev/null",
      "--port=0",
      "--log-dhcp",
      "--interface=eth0",
      "--user=root",
    ];
    const range = "--dhcp-range=10.9.0.100,10.9.0.150,255.255.255.0,120s";
    const leases = `--dhcp-leasefile=${this.folder}/dnsmasq.leases`;
    const server = new Process(this.outside, "/usr/sbin/dnsmasq", [...common, range, leases, ...args]);
    await server.line(/DHCP, IP range/);
    return server;
  }

  /** podwire's daemon, listening. */
  async daemon(...args: string[]): Promise<Process> {
    const daemon = new Process(this.node, executable, ["dhcp-daemon", "--socketpath", this.socketPath, ...args]);
    await daemon.line(/listens at/);
    return daemon;
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
