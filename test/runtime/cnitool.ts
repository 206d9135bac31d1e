import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CniResult } from "../harness/invoke.ts";
import type { Namespace, Outcome } from "../harness/namespace.ts";
import type { NetworkList } from "../harness/chain.ts";
import type { Node } from "../harness/node.ts";
import { reference, temporaryFolder } from "../harness/paths.ts";
import { podwireFolder } from "../harness/podwire-folder.ts";

/** libcni's own executable, where Go built it together with the reference plugins. */
export const cnitoolPath = join(reference.folder, "cnitool");

/** Where libcni keeps the results of what it added. */
export const cacheFolder = "/var/lib/cni/results";

export interface ToolOptions {
  ifname?: string;
  /** arguments by capability */
  capabilities?: object;
  /** CNI_PATH */
  path?: string;
}

/** cnitool on a node, with a folder of configurations of its own. */
export class Cnitool {
  readonly #folder = temporaryFolder("net.d");

  constructor(readonly node: Node) {}

  /** Makes a network known by its name. */
  network(list: NetworkList): void {
    mkdirSync(this.#folder, { recursive: true });
    writeFileSync(join(this.#folder, `${list.name}.conflist`), JSON.stringify(list));
  }

  /** Runs one of its commands for a network and a namespace. */
  async run(
    command: "add" | "check" | "del" | "gc" | "status",
    network: string,
    pod: Namespace,
    options: ToolOptions = {},
  ): Promise<Outcome & { result?: CniResult }> {
    const env = {
      PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
      NETCONFPATH: this.#folder,
      CNI_PATH: options.path ?? podwireFolder(),
      ...(options.ifname && { CNI_IFNAME: options.ifname }),
      ...(options.capabilities && { CAP_ARGS: JSON.stringify(options.capabilities) }),
    };
    const outcome = await this.node.run(cnitoolPath, [command, network, pod.path], { env });
    return command === "add" && outcome.exitCode === 0
      ? { ...outcome, result: JSON.parse(outcome.stdout) as CniResult }
      : outcome;
  }
}
