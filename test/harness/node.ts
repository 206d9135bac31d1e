import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { invoke, type Answer, type Call, type Verb } from "./invoke.ts";
import { Namespace } from "./namespace.ts";
import { reference, temporaryFolder } from "./paths.ts";
import { podwireFolder } from "./podwire-folder.ts";
import { hostState, type HostState } from "./state.ts";

const live = new Set<Node>();

/** Every node that was made and not removed yet. */
export const liveNodes = (): ReadonlySet<Node> => live;

/**
 * A machine that runs pods: a namespace to execute plugins in, its pods, a folder for leases, and a network outside.
 */
export class Node extends Namespace {
  /** for `ipam.dataDir`: empty at first, removed with the node */
  readonly dataDir = temporaryFolder("node");
  readonly #others: Namespace[] = [];

  static async create(): Promise<Node> {
    const node = new Node(Namespace.newName("node"));
    live.add(node);
    await node.create(true);
    // a new namespace starts with what the machine has, and one that runs containers forwards already
    await node.setSysctl("net/ipv4/ip_forward", 0);
    return node;
  }

  /** Makes a namespace for a pod; its `lo` is down, as a runtime gives it, unless asked otherwise. */
  async pod({ up = false } = {}): Promise<Namespace> {
    const pod = await Namespace.make("pod", { up });
    this.#others.push(pod);
    return pod;
  }

  /** Executes podwire under a plugin's name in the node's namespace. */
  async podwire(verb: Verb | "", call: Call): Promise<Answer> {
    return invoke(this, podwireFolder(), verb, call);
  }

  /** Executes the reference plugin of that name in the node's namespace. */
  async reference(verb: Verb | "", call: Call): Promise<Answer> {
    return invoke(this, reference.folder, verb, call);
  }

  /** Executes podwire and throws unless it exits with 0. */
  async succeed(verb: Verb, call: Call): Promise<Answer> {
    const answer = await this.podwire(verb, call);
    if (answer.exitCode !== 0) {
      throw new Error(`${call.plugin} ${verb}: exit ${answer.exitCode}: ${answer.stdout} ${answer.stderr}`);
    }
    return answer;
  }

  /**
   * A machine outside: a namespace joined to the node by a veth pair (`uplink` here, `eth0` there). It knows the node's
   * uplink network only, so an answer to a pod's own address never finds its way back: what arrives was masqueraded.
   */
  async outside({
    node4 = "192.0.2.1",
    outside4 = "192.0.2.2",
    node6 = "2001:db8::1",
    outside6 = "2001:db8::2",
    uplink = "uplink",
  } = {}): Promise<Outside> {
    const outside = await Namespace.make("out");
    this.#others.push(outside);
    await this.ip(`link add ${uplink} type veth peer name eth0 netns ${outside.name}`);
    await outside.ip("link set eth0 up");
    await this.ip(`link set ${uplink} up`);
    await this.ip(`address add ${node4}/24 dev ${uplink}`);
    await outside.ip(`address add ${outside4}/24 dev eth0`);
    await this.ip(`address add ${node6}/64 dev ${uplink} nodad`);
    await outside.ip(`address add ${outside6}/64 dev eth0 nodad`);
    await Promise.all([this.whenUp(uplink), outside.whenUp("eth0")]);
    return Object.assign(outside, { node4, node6, address4: outside4, address6: outside6 });
  }

  /** Everything of the node that a plugin could change, for comparison before and after. */
  async snapshot(): Promise<HostState & { leases: Record<string, string> }> {
    return { ...(await hostState(this)), leases: this.leases() };
  }

  /** Files under a lease folder by relative path; `lock` and `last_reserved_ip.*` only when asked for. */
  leases({ folder = this.dataDir, all = false } = {}): Record<string, string> {
    if (!existsSync(folder)) return {};
    const names = readdirSync(folder, { recursive: true }).map(String).sort();
    const files = names.filter((name) => statSync(join(folder, name)).isFile());
    const wanted = files.filter((name) => all || isLease(name));
    return Object.fromEntries(wanted.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  }

  override async remove(): Promise<void> {
    await Promise.all(this.#others.map(async (other) => other.remove()));
    await super.remove();
    rmSync(this.dataDir, { recursive: true, force: true });
    live.delete(this);
  }
}

export type Outside = Namespace & { node4: string; node6: string; address4: string; address6: string };

/** A lease is named by an address; podwire's own files start with a dot. */
const isLease = (path: string): boolean => /(^|\/)[0-9a-f]*[.:][0-9a-f.:]+$/.test(path);
