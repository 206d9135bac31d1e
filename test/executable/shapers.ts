import { after, type Wired } from "./chained.ts";
import { failure } from "./configs.ts";
import type { CniResult, Node } from "./harness.ts";

/** A qdisc somebody chose, as `tc -j` prints it. */
export interface Qdisc {
  kind: string;
  dev: string;
  options: { rate?: number; burst?: number; lat?: number };
}

/** The qdiscs of the node but those the kernel gives every link, as `veth tbf 1000000 bytes a second, burst 100000`. */
export async function shapers(node: Node): Promise<string[]> {
  const all = JSON.parse(await node.must("tc", "-j", "qdisc", "show")) as Qdisc[];
  return all
    .filter(({ kind }) => kind !== "noqueue")
    .map(({ kind, dev, options: { rate, burst } }) => `${nameOf(dev)} ${kind}${rate ? ` ${rate} ${burst}` : ""}`)
    .toSorted();
}

/** Names of links differ from pod to pod, and what they are for does not. */
const nameOf = (dev: string): string => dev.replace(/^(veth|bwp)[0-9a-f]+$/, "$1");

/** The links a link's ingress filters redirect to. */
export async function redirects(node: Node, dev: string): Promise<string[]> {
  const filters = JSON.parse(await node.must("tc", "-j", "filter", "show", "dev", dev, "parent", "ffff:")) as {
    options?: { actions?: { kind: string; to_dev: string }[] };
  }[];
  return [...new Set(filters.flatMap(({ options }) => options?.actions?.map(({ to_dev: to }) => to) ?? []))];
}

/** The ifbs of the node, with what they say they are for. */
export const ifbs = async (node: Node): Promise<{ name: string; alias: string }[]> =>
  (await node.links())
    .filter(({ linkinfo }) => linkinfo?.info_kind === "ifb")
    .map(({ ifname, ifalias }) => ({ name: ifname, alias: ifalias ?? "" }));

/** ADD that must succeed; its result. */
export const add = async ({ node, call }: Wired, config: object): Promise<CniResult> =>
  (await node.succeed("ADD", call(config))).result!;
/** What CHECK says of it, "" where it is content. */
export async function complaint({ node, call }: Wired, config: object, result: CniResult): Promise<string> {
  const answer = await node.podwire("CHECK", after(call(config), result));
  return answer.exitCode === 0 ? "" : failure(answer).msg;
}
