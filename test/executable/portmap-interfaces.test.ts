import { beforeEach, describe, expect, test } from "vitest";
import { type CniResult, type Namespace, Node, type Outside } from "./harness.ts";
import { type Mapping, reach, tcp, translations } from "./ports.ts";

// Two interfaces of one container in one network, each with port mappings of its own by iptables.

interface Interface {
  ifname: string;
  subnet: string;
  mapping: Mapping;
}
const first: Interface = { ifname: "eth0", subnet: "10.9.0.0/24", mapping: tcp(8080, 80) };
const second: Interface = { ifname: "net1", subnet: "10.8.0.0/24", mapping: tcp(9090, 90) };

let node: Node;
let outside: Outside;
let pod: Namespace;
const results = new Map<string, CniResult>();

// masqAll: answers find their way without a default route through each interface
const portmap = ({ ifname, mapping }: Interface) => ({
  plugin: "portmap",
  containerId: "twice",
  ifname,
  netns: pod,
  config: {
    cniVersion: "1.1.0",
    name: "net",
    type: "portmap",
    backend: "iptables",
    masqAll: true,
    runtimeConfig: { portMappings: [mapping] },
    prevResult: results.get(ifname),
  },
});

const add = async (each: Interface) => node.succeed("ADD", portmap(each));
const del = async (each: Interface) =>
  node.succeed("DEL", {
    ...portmap(each),
    config: { ...portmap(each).config, prevResult: undefined, runtimeConfig: undefined },
  });
const check = async (each: Interface) => (await node.podwire("CHECK", portmap(each))).error?.msg ?? "as it should be";
const answers = async () =>
  Promise.all([first, second].map(async ({ mapping }) => reach(outside, outside.node4, mapping.hostPort)));
const chains = async () => (await translations(node)).split("\n").filter((line) => line.startsWith(":CNI-DN-"));

beforeEach(async () => {
  node = await Node.create();
  outside = await node.outside();
  pod = await node.pod({ up: true });
  for (const { ifname, subnet } of [first, second]) {
    const config = {
      cniVersion: "1.1.0",
      name: "net",
      type: "bridge",
      bridge: `br-${ifname}`,
      isGateway: true,
      ipam: { type: "host-local", dataDir: node.dataDir, ranges: [[{ subnet }]] },
    };
    results.set(
      ifname,
      (await node.succeed("ADD", { plugin: "bridge", containerId: "twice", ifname, netns: pod, config })).result!,
    );
  }
  await pod.listen(80, { name: "first" });
  await pod.listen(90, { name: "second" });
});

describe("two interfaces of one container in one network", () => {
  test.each([
    ["the first", first, second, ["ECONNREFUSED", "second saw 10.8.0.1"]],
    ["the second", second, first, ["first saw 10.9.0.1", "ECONNREFUSED"]],
  ])("have mappings that stay when %s goes, and when it comes back", async (_, going, staying, left) => {
    await add(first);
    await add(second);
    const both = await translations(node);
    await add(second);
    await add(first);
    expect((await translations(node)).split("\n").toSorted()).toEqual(both.split("\n").toSorted());
    expect(await answers()).toEqual(["first saw 10.9.0.1", "second saw 10.8.0.1"]);
    expect([await check(first), await check(second)]).toEqual(["as it should be", "as it should be"]);
    await del(going);
    await del(going);
    expect(await answers()).toEqual(left);
    expect(await check(staying)).toBe("as it should be");
    expect(await check(going)).toContain("lacks the rule");
    await add(going);
    expect(await answers()).toEqual(["first saw 10.9.0.1", "second saw 10.8.0.1"]);
    await del(staying);
    await del(going);
    expect(await translations(node)).not.toMatch(/CNI-DN-|8080|9090/);
  });

  test("do not get each other's port", async () => {
    await add(first);
    const { error } = await node.podwire("ADD", portmap({ ...second, mapping: first.mapping }));
    expect(error).toMatchObject({
      code: 11,
      msg: expect.stringMatching(
        /^host port tcp 8080 is held by container twice, interface eth0, network net \(iptables table nat, chain CNI-DN-[0-9a-f]{21}\)$/,
      ) as string,
    });
    expect(await answers()).toEqual(["first saw 10.9.0.1", "ECONNREFUSED"]);
  });

  test.each([
    [first, ["first saw 10.9.0.1", "ECONNREFUSED"]],
    [second, ["ECONNREFUSED", "second saw 10.8.0.1"]],
  ])("are told apart by GC: $ifname stays", async ({ ifname }, left) => {
    await add(first);
    await add(second);
    expect(await chains()).toHaveLength(2);
    const valid = { "cni.dev/valid-attachments": [{ containerID: "twice", ifname }] };
    await node.succeed("GC", {
      plugin: "portmap",
      config: { cniVersion: "1.1.0", name: "net", type: "portmap", backend: "iptables", ...valid },
    });
    expect(await answers()).toEqual(left);
    expect(await chains()).toHaveLength(1);
  });
});
