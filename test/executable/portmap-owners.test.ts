import { beforeEach, expect, test } from "vitest";
import { Node } from "./harness.ts";
import { type Mapping, tcp, translations, udp } from "./ports.ts";

// Who has which host ports is noted beside them, so that a DEL which is not told the ports finds them without looking
// at those of other pods.

let node: Node;
beforeEach(async () => {
  node = await Node.create();
});

const call = (containerId: string, mappings?: readonly Mapping[], network = "net") => ({
  plugin: "portmap",
  containerId,
  netns: "/run/netns/pod",
  config: {
    cniVersion: "1.1.0",
    name: network,
    type: "portmap",
    ...(mappings && {
      runtimeConfig: { portMappings: mappings },
      prevResult: {
        cniVersion: "1.1.0",
        interfaces: [],
        ips: [{ address: "10.9.0.5/24" }, { address: "fd00:9::5/64" }],
      },
    }),
  },
});
const gc = (...valid: string[]) => ({
  plugin: "portmap",
  config: {
    cniVersion: "1.1.0",
    name: "net",
    type: "portmap",
    "cni.dev/valid-attachments": valid.map((containerID) => ({ containerID, ifname: "eth0" })),
  },
});

/** Sixty of every sort: more than one element can note. */
const many: Mapping[] = Array.from({ length: 20 }, (_, at) => [
  tcp(20_000 + at, 80),
  udp(20_000 + at, 53, `192.0.2.${at + 1}`),
  { ...tcp(20_000 + at, 443, `2001:db8:aaaa:bbbb:cccc:dddd:eeee:${at + 1}`), protocol: "sctp" },
]).flat();

const owners = async (): Promise<string[]> => {
  const { stdout } = await node.run("nft", ["list", "set", "inet", "podwire", "hostportowners"]);
  return [...stdout.matchAll(/comment "\S+ (\S+) /g)].map(([, container]) => container!).sort();
};

test("a DEL that is told neither the ports nor the network's name of before removes them all, and no others", async () => {
  await node.succeed("ADD", call("other", [tcp(8080, 80), udp(5353, 53)]));
  const before = await translations(node);
  await node.succeed("ADD", call("pod", many));
  expect(new Set(await owners())).toEqual(new Set(["other", "pod"]));
  await node.succeed("DEL", call("pod", undefined, "renamed"));
  expect(await translations(node)).toBe(before);
});

test("ports of a second ADD come to those of the first", async () => {
  await node.succeed("ADD", call("other", [tcp(8080, 80)]));
  const before = await translations(node);
  await node.succeed("ADD", call("pod", [tcp(8081, 80)]));
  await node.succeed("ADD", call("pod", [tcp(8082, 80)]));
  await node.succeed("DEL", call("pod"));
  expect(await translations(node)).toBe(before);
});

test("a set of owners that is not there is made by the next ADD; what it does not note goes by its port, or with GC", async () => {
  await node.succeed("ADD", call("told", [tcp(8080, 80)]));
  await node.succeed("ADD", call("lost", [tcp(8081, 80)]));
  await node.must("nft", "delete", "set", "inet", "podwire", "hostportowners");
  await node.succeed("DEL", call("unknown"));
  await node.succeed("ADD", call("pod", [tcp(8082, 80)]));
  expect(await owners()).toEqual(["pod"]);
  await node.succeed("CHECK", call("told", [tcp(8080, 80)]));
  await node.succeed("DEL", call("told", [tcp(8080, 80)]));
  await node.succeed("GC", gc("pod"));
  expect((await translations(node)).match(/808\d/g)?.filter((port) => port !== "8082")).toEqual([]);
  await node.succeed("CHECK", call("pod", [tcp(8082, 80)]));
});

test("GC takes what is noted of attachments that are not valid", async () => {
  await node.succeed("ADD", call("pod", [tcp(8080, 80)]));
  await node.succeed("ADD", call("gone", many));
  await node.succeed("GC", gc("pod"));
  expect(await owners()).toEqual(["pod"]);
});

test("what a failed ADD would have had is not noted", async () => {
  await node.succeed("ADD", call("other", [tcp(8080, 80)]));
  const before = await translations(node);
  expect((await node.podwire("ADD", call("pod", [tcp(8079, 80), tcp(8080, 80)]))).exitCode).toBe(1);
  expect(await translations(node)).toBe(before);
});
