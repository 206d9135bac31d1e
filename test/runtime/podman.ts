import { join } from "node:path";
import type { Outcome } from "../harness/namespace.ts";
import { imageName, writeImage } from "./image.ts";
import type { Machine } from "./machine.ts";

/** podman with its CNI backend on a machine, with storage of its own. */
export class Podman {
  private constructor(readonly machine: Machine) {}

  /** Configures podman and loads the tests' image. */
  static async create(machine: Machine): Promise<Podman> {
    const podman = new Podman(machine);
    machine.write(podman.#configuration, configuration);
    machine.write("/etc/containers/policy.json", JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
    machine.write(join(machine.folder, "image/.keep"), "");
    await podman.must("load", "--quiet", "--input", await writeImage(join(machine.folder, "image")));
    return podman;
  }

  get #configuration(): string {
    return join(this.machine.folder, "containers.conf");
  }

  /** Runs one of podman's commands. */
  async run(command: string, ...args: string[]): Promise<Outcome> {
    const { folder } = this.machine;
    const own = [
      "--root",
      join(folder, "podman"),
      "--runroot",
      join(folder, "podman-run"),
      "--tmpdir",
      join(folder, "podman-tmp"),
      "--storage-driver",
      "vfs",
    ];
    return this.machine.run("podman", [...own, command, ...args], {
      env: { CONTAINERS_CONF: this.#configuration },
    });
  }

  async must(command: string, ...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.run(command, ...args);
    if (exitCode !== 0) throw new Error(`podman ${command} ${args.join(" ")}: exit ${exitCode}: ${stderr || stdout}`);
    return stdout;
  }

  /** `podman run` in the background, of a program in the tests' image. */
  async start(name: string, options: string[], ...command: string[]): Promise<Outcome> {
    const [entrypoint = "sleep", ...args] = command;
    return this.run(
      "run",
      "--detach",
      "--name",
      name,
      "--cgroup-parent",
      this.machine.cgroup,
      "--entrypoint",
      entrypoint,
      ...options,
      imageName,
      ...args,
    );
  }
}

const configuration = `
[containers]
log_driver = "k8s-file"
apparmor_profile = "unconfined"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/net.d"
`;
