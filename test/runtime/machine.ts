import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { executable, temporaryFolder } from "../harness/paths.ts";
import type { Node } from "../harness/node.ts";
import type { Outcome } from "../harness/namespace.ts";
import type { NetworkList } from "../harness/chain.ts";

export interface MachineOptions {
  input?: string;
  env?: Record<string, string>;
}

/** A program that goes on running in a machine. */
export interface Service {
  /** what it has printed so far is here */
  log: string;
  /** ends it as a crash would: SIGKILL, to it alone */
  kill(): Promise<void>;
}

const live = new Set<Machine>();

/** Ends every machine that is still there. */
export const stopMachines = async (): Promise<unknown> => Promise.all([...live].map(async (machine) => machine.stop()));

/**
 * A node that a container runtime can run on: process and mount namespaces of its own in the node's network namespace,
 * with private /etc/cni/net.d and /opt/cni/bin. Whatever was started in it ends with it.
 */
export class Machine {
  /** for anything the machine writes; removed with it */
  readonly folder = temporaryFolder("machine");
  readonly #init: ChildProcess;
  #pid = 0;

  private constructor(readonly node: Node) {
    const namespaces = ["--pid", "--fork", "--kill-child", "--mount", "--propagation", "unchanged"];
    const first = [join(import.meta.dirname, "machine.sh"), this.folder];
    this.#init = spawn("nsenter", [`--net=${node.path}`, "--", "unshare", ...namespaces, "--", ...first]);
  }

  static async start(node: Node): Promise<Machine> {
    const machine = new Machine(node);
    live.add(machine);
    await machine.#ready();
    return machine;
  }

  async #ready(): Promise<void> {
    this.#pid = await new Promise<number>((resolve, reject) => {
      let errors = "";
      this.#init.stderr?.on("data", (data) => (errors += data));
      this.#init.stdout?.once("data", (data) => resolve(Number(data)));
      this.#init.once("close", (code) => reject(new Error(`the machine ended with ${code}: ${errors}`)));
    });
  }

  /** Where a file of the machine is, seen from outside. */
  path(inside: string): string {
    return `/proc/${this.#pid}/root${inside}`;
  }

  /** The folder below which the machine's containers have their cgroups. */
  get cgroup(): string {
    return `/podwire-${this.#pid}`;
  }

  #enter(command: string, args: string[]): string[] {
    return ["--target", `${this.#pid}`, "--pid", "--mount", "--net", "--", command, ...args];
  }

  #environment(more: Record<string, string> = {}): { env: Record<string, string>; extendEnv: false } {
    return { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: this.folder, ...more }, extendEnv: false };
  }

  /** Runs a program in the machine; a non-zero exit is an outcome, not an exception. */
  async run(command: string, args: string[] = [], options: MachineOptions = {}): Promise<Outcome> {
    const { exitCode, stdout, stderr, message } = await execa("nsenter", this.#enter(command, args), {
      ...this.#environment(options.env),
      input: options.input ?? "",
      reject: false,
      timeout: 240_000,
    });
    return { exitCode: exitCode ?? -1, stdout, stderr: exitCode === undefined ? (message ?? "") : stderr };
  }

  /** Runs a program that must succeed, and returns what it printed. */
  async must(command: string, args: string[] = [], options: MachineOptions = {}): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, args, options);
    if (exitCode !== 0) throw new Error(`${[command, ...args].join(" ")}: exit ${exitCode}: ${stderr || stdout}`);
    return stdout;
  }

  /** Starts a program that goes on running; a name gives its log. */
  service(name: string, command: string, args: string[]): Service {
    const pid = join(this.folder, `${name}.pid`);
    const log = join(this.folder, `${name}.log`);
    const start = ["-c", 'echo $$ >"$1"; shift; exec "$@"', "sh", pid, command, ...args];
    const running = execa("nsenter", this.#enter("sh", start), {
      ...this.#environment(),
      stdin: "ignore",
      stdout: { file: log },
      stderr: { file: log },
      buffer: false,
      reject: false,
    });
    const kill = async (): Promise<void> => {
      await this.must("sh", ["-c", 'kill -KILL "$(cat "$1")"', "sh", pid]);
      await running;
    };
    return { log, kill };
  }

  /** Puts podwire into /opt/cni/bin, as a person would. */
  async install(): Promise<void> {
    await this.must(executable, ["install"]);
  }

  /** Writes a file into the machine. */
  write(inside: string, text: string, mode = 0o644): void {
    const path = this.path(inside);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode });
  }

  /** Makes a configuration list the machine's only network. */
  network(list: NetworkList): void {
    for (const file of readdirSync(this.path("/etc/cni/net.d"))) rmSync(this.path(`/etc/cni/net.d/${file}`));
    this.write("/etc/cni/net.d/10-network.conflist", JSON.stringify(list));
  }

  async stop(): Promise<void> {
    live.delete(this);
    const ended = once(this.#init, "exit");
    this.#init.stdin?.end();
    await ended;
    const hierarchies = existsSync("/sys/fs/cgroup/cgroup.procs") ? [""] : readdirSync("/sys/fs/cgroup");
    for (const hierarchy of hierarchies) removeCgroup(join("/sys/fs/cgroup", hierarchy, this.cgroup));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Removes a cgroup and those below it; its files are the kernel's. */
function removeCgroup(path: string): void {
  if (!existsSync(path)) return;
  const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of below) removeCgroup(join(path, name));
  rmdirSync(path);
}
