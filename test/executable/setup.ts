// Before each test file: what a test starts and makes ends with it; what was made in beforeAll, with the file.
import { afterAll, afterEach, beforeEach } from "vitest";
import { liveNodes, type Node } from "../harness/node.ts";
import { sceneNamespaces, stopProcesses } from "./dhcp.ts";
import type { Namespace } from "./harness.ts";

let kept = new Set<Namespace>();
beforeEach(() => {
  kept = new Set([...liveNodes(), ...sceneNamespaces()]);
});
afterEach(async () => end((namespace) => !kept.has(namespace)));
afterAll(async () => end(() => true));

async function end(which: (namespace: Namespace) => boolean): Promise<void> {
  await stopProcesses(which);
  await Promise.all([...liveNodes()].filter(which).map(async (node: Node) => node.remove()));
}
