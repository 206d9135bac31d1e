import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Outcome } from "../harness/namespace.ts";
import { Namespace } from "../harness/namespace.ts";
import { Cri, type PortMapping, type Sandbox } from "./cri.ts";
import { imageName, writeImage } from "./image.ts";
import type { Machine, MachineOptions, Service } from "./machine.ts";

/** containerd on a machine, with a socket and folders of its own. */
export class Containerd {
  readonly #socket: string;
  readonly #config: string;
  #service: Service | undefined;
  #cri: Cri | undefined;
  #count = 0;

  private constructor(readonly machine: Machine) {
    this.#socket = join(machine.folder, "containerd.sock");
    this.#config = join(machine.folder, "containerd.toml");
    machine.write(this.#config, configuration(machine.folder, this.#socket));
  }

  /** Starts containerd with the tests' image; the machine's network should be there already. */
  static async start(machine: Machine): Promise<Containerd> {
    const containerd = new Containerd(machine);
    await containerd.start();
    const folder = join(machine.folder, "image");
    mkdirSync(folder);
    const archive = await writeImage(folder);
    for (const namespace of ["default", "k8s.io"]) {
      await containerd.must("--namespace", namespace, "image", "import", "--snapshotter", "native", archive);
    }
    return containerd;
  }

  async start(): Promise<void> {
    this.#service = this.machine.service("containerd", "containerd", ["--config", this.#config]);
    this.#cri = new Cri(this.#socket);
    await this.#cri.ready().catch((cause: unknown) => {
      throw new Error(`containerd does not answer: ${this.log()}`, { cause });
    });
  }

  /** Ends containerd as a crash would; its containers go on. */
  async kill(): Promise<void> {
    this.#cri?.close();
    await this.#service?.kill();
  }

  get cri(): Cri {
    return this.#cri!;
  }

  log(): string {
    return readFileSync(this.#service!.log, "utf8");
  }

  async ctr(args: string[], options: MachineOptions = {}): Promise<Outcome> {
    return this.machine.run("ctr", ["--address", this.#socket, ...args], options);
  }

  async must(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.ctr(args);
    if (exitCode !== 0) throw new Error(`ctr ${args.join(" ")}: exit ${exitCode}: ${stderr || stdout}`);
    return stdout;
  }

  /** Runs a program in a container with the machine's network, until it ends. */
  async container(name: string, ...command: string[]): Promise<Outcome> {
    const options = ["--rm", "--cni", "--snapshotter", "native", "--cgroup", `${this.machine.cgroup}/${name}`];
    return this.ctr(["run", ...options, imageName, name, ...command]);
  }

  /** RunPodSandbox, as a kubelet asks for it; returns the sandbox's id. */
  async run({
    name = `pod-${(this.#count += 1)}`,
    attempt = 0,
    ports = [] as PortMapping[],
    annotations = {} as Record<string, string>,
  } = {}): Promise<string> {
    const config = {
      metadata: { name, uid: `uid-${name}`, namespace: "default", attempt },
      hostname: name,
      port_mappings: ports,
      annotations,
      linux: { cgroup_parent: this.machine.cgroup },
    };
    return (await this.cri.call("RunPodSandbox", { config })).pod_sandbox_id;
  }

  async status(id: string): Promise<Sandbox & { ips: string[]; netns: Namespace | undefined }> {
    const { status, info } = await this.cri.call("PodSandboxStatus", { pod_sandbox_id: id, verbose: true });
    const path = info.info?.match(/\/netns\/(cni-[0-9a-f-]+)/)?.[1];
    const ips = [status.network?.ip, ...(status.network?.additional_ips ?? []).map(({ ip }) => ip)].filter(
      (ip): ip is string => Boolean(ip),
    );
    return { ...status, ips, netns: path === undefined ? undefined : Namespace.named(path) };
  }

  async stop(id: string): Promise<void> {
    await this.cri.call("StopPodSandbox", { pod_sandbox_id: id });
  }

  /** Stops a sandbox and removes it. */
  async remove(id: string): Promise<void> {
    await this.stop(id);
    await this.cri.call("RemovePodSandbox", { pod_sandbox_id: id });
  }
}

/** Snapshots by plain copies and cgroups by files: the most any kernel and any container of a build service has. */
const configuration = (folder: string, socket: string): string => `
version = 2
root = "${folder}/containerd-root"
state = "${folder}/containerd-state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${imageName}"
  stream_server_address = "127.0.0.1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`;
