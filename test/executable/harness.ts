import { afterAll, afterEach, beforeEach } from "vitest";
import { liveNodes, type Node } from "../harness/node.ts";

export { Node, type Outside } from "../harness/node.ts";
export { Namespace, type IpAddress, type IpLink, type IpRoute, type Outcome } from "../harness/namespace.ts";
export { loadConf, runList, type Attachment, type NetworkList } from "../harness/chain.ts";
export type { Answer, Call, CniErrorText, CniResult, Verb } from "../harness/invoke.ts";
export { confFolder, executable, reference, temporaryFolder } from "../harness/paths.ts";
export { pluginNames, podwireFolder } from "../harness/podwire-folder.ts";
export { hostState, withoutCarrier, type HostState } from "../harness/state.ts";

// A node made in a test goes when the test ends; one made in beforeAll, when the file does.
let kept = new Set<Node>();
beforeEach(() => {
  kept = new Set(liveNodes());
});
afterEach(async () => {
  await Promise.all([...liveNodes()].filter((node) => !kept.has(node)).map(async (node) => node.remove()));
});
afterAll(async () => {
  await Promise.all([...liveNodes()].map(async (node) => node.remove()));
});
