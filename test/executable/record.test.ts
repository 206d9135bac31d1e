import { describe, expect, test } from "vitest";
import { programs } from "./configs.ts";
import { type Call, Node } from "./harness.ts";

// What podwire knows of an attachment is kept whatever gives it its addresses, and is enough to remove it. The folder
// is that of all tests which name none: the network is of these alone.

const given = (): string =>
  programs({
    given: `cat > /dev/null; echo '{"cniVersion":"1.0.0","ips":[{"address":"10.7.0.5/24","gateway":"10.7.0.1"}]}'`,
  });

const call = (more: object): Call => ({
  plugin: "bridge",
  config: { cniVersion: "1.0.0", name: "recorded", type: "bridge", bridge: "br0", ...more },
  containerId: "one",
  path: given(),
});

const recordsOf = (node: Node): object[] =>
  Object.entries(node.leases({ folder: "/var/lib/cni/networks/.podwire/recorded", all: true }))
    .filter(([path]) => path.startsWith("one:"))
    .map(([, text]) => JSON.parse(text) as object);

describe.each<[string, object, string[]]>([
  ["another IPAM plugin", { isGateway: true, ipMasq: true, macspoofchk: true, ipam: { type: "given" } }, ["10.7.0.5"]],
  ["no IPAM", { macspoofchk: true }, []],
])("an attachment with %s", (_what, keys, ips) => {
  test("has a record while it lives, by which DEL takes all of it away: without namespace, prevResult or those keys", async () => {
    const node = await Node.create();
    // shared things stay: they are made before
    const bystander = await node.pod();
    await node.succeed("ADD", { ...call(keys), containerId: "first", netns: bystander });
    await node.succeed("DEL", { ...call(keys), containerId: "first", netns: bystander });
    const before = await node.snapshot();
    await node.succeed("ADD", { ...call(keys), netns: await node.pod() });
    const parts = ["masquerade", "spoofCheck"].filter((kind) => kind === "spoofCheck" || "ipMasq" in keys);
    expect(recordsOf(node)).toEqual([expect.objectContaining({ containerId: "one", ifname: "eth0", ips, parts })]);
    await node.succeed("DEL", { ...call({ ipam: (keys as { ipam?: object }).ipam }), netns: "/nowhere" });
    expect(await node.snapshot()).toEqual(before);
    expect(recordsOf(node)).toEqual([]);
  });

  test("loses its record when ADD fails, and by GC", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    await pod.ip("link add eth0 type veth peer name other");
    const failed = await node.podwire("ADD", { ...call(keys), netns: pod });
    expect([failed.exitCode, recordsOf(node)]).toEqual([1, []]);
    await node.succeed("ADD", { ...call(keys), netns: await node.pod() });
    expect(recordsOf(node)).toHaveLength(1);
    const valid = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [{ containerID: "other", ifname: "eth0" }] };
    const { containerId: _none, ...collect } = call({ ...keys, ...valid });
    await node.succeed("GC", collect);
    expect(recordsOf(node)).toEqual([]);
  });
});

describe("the pod a runtime names in CNI_ARGS", () => {
  const args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-6d5f;K8S_POD_UID=0a-1";
  const hostLocal = { ipam: { type: "host-local", subnet: "10.9.0.0/24" } };

  test.each([
    ["host-local", hostLocal],
    ["another IPAM plugin", { ipam: { type: "given" } }],
    ["no IPAM", {}],
  ])("is kept with %s", async (_what, keys) => {
    const node = await Node.create();
    await node.succeed("ADD", { ...call(keys), netns: await node.pod(), args });
    expect(recordsOf(node)).toEqual([
      expect.objectContaining({ pod: { namespace: "default", name: "web-6d5f", uid: "0a-1" } }),
    ]);
    await node.succeed("DEL", { ...call(keys), args });
    expect(recordsOf(node)).toEqual([]);
  });

  test("is not kept where it is no name", async () => {
    const node = await Node.create();
    const strange = "IgnoreUnknown=1;K8S_POD_NAMESPACE=de\u001bfault;K8S_POD_NAME=../../x";
    await node.succeed("ADD", { ...call(hostLocal), netns: await node.pod(), args: strange });
    expect(recordsOf(node)).toEqual([expect.not.objectContaining({ pod: expect.anything() as unknown })]);
    await node.succeed("DEL", call(hostLocal));
  });
});
