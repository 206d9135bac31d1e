import type { Call, Namespace, Node } from "../harness.ts";

/** A configuration that is run on podwire and on the reference, step by step. */
export interface Scenario {
  name: string;
  plugin: string;
  /** without `cniVersion` and `name`, which every scenario gets */
  config(node: Node, version: string): Record<string, unknown>;
  call?: Partial<Call>;
  /** absent: all of them, most in short */
  versions?: string[];
  /** uses what Debian's v1.1.1 lacks */
  newestOnly?: boolean;
  /** what the node, or its two pods, must have */
  prepare?(node: Node, pods: Namespace[]): Promise<void>;
  /** something to see while both pods are there, or the one */
  between?(node: Node, pods: Namespace[]): Promise<unknown>;
  /** false: adding twice is no error for this plugin, or its outcome is ruled otherwise */
  duplicate?: boolean;
  /** true: one ADD, CHECK and DEL, and no more */
  once?: boolean;
  /** true where a ruling gives another result than the reference's; the wiring is still compared */
  looseResult?(version: string): boolean;
}

export type Make = (node: Node) => Record<string, unknown>;
export const configured = (make: Make) => (node: Node, version: string) => ({
  cniVersion: version,
  name: "differential",
  ...make(node),
});
export const hostLocal = (node: Node, more: object) => ({ type: "host-local", dataDir: node.dataDir, ...more });
/** One version of each shape of result, for scenarios that are about wiring. */
export const shapes = ["0.2.0", "0.4.0", "1.1.0"];

export const v4 = { subnet: "10.9.0.0/24" };
export const v6 = { subnet: "fd00:9::/64" };
export const defaults = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];

/** What a machine outside sees of a pod that connects to it. */
export async function seenOutside(node: Node, pods: Namespace[], families: (4 | 6)[]): Promise<unknown> {
  const outside = await node.outside();
  await outside.listen(8080);
  const seen = [];
  for (const family of families) {
    const { from } = await pods[0]!.connect(family === 4 ? outside.address4 : outside.address6, 8080);
    seen.push(from === (family === 4 ? outside.node4 : outside.node6) ? "the node" : from);
  }
  return { seen, neighbour: await pods[0]!.ping("10.9.0.3") };
}

/**
 * The nat table's rules, without the one podwire adds: it has no target, and its comment tells whose interface an
 * address is.
 */
export async function natRules(node: Node, command: string): Promise<string[]> {
  const rules = (await node.must(command, "-t", "nat", "-S")).trim().split("\n");
  return rules.filter((rule) => !(rule.includes('"interface: ') && !rule.includes(" -j ")));
}
