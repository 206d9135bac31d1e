import type { Namespace, Node } from "./harness.ts";

/**
 * A virtual machine as kubevirt has it: behind a bridge in its pod, of which the pod's interface is a port. The machine
 * has the MAC the interface was given, and the interface another one.
 */
export async function guestBehind(
  node: Node,
  pod: Namespace,
  { port, mac, address }: { port: string; mac: string; address: string },
): Promise<Namespace> {
  const guest = await node.pod();
  const lines = [
    `link add k6t-${port} up type bridge`,
    `link set ${port} down`,
    `link set ${port} address ${mac.replace(/^02:00/, "02:02")}`,
    `link set ${port} up master k6t-${port}`,
    `link add tap1 up master k6t-${port} type veth peer name eth0 address ${mac} netns ${guest.name}`,
    `-n ${guest.name} link set eth0 up`,
    `-n ${guest.name} address add ${address}/24 dev eth0`,
  ];
  await pod.must("sh", "-ec", lines.map((line) => `ip ${line}`).join("\n"));
  return guest;
}
