import { beforeEach, describe, expect, test } from "vitest";
import { watchedTools } from "./configs.ts";
import { Node, reference } from "./harness.ts";
import { type Mapping, tcp, translations, udp } from "./ports.ts";

// What port mappings leave to the kernel beside their elements: flows it remembers, and chains that are shared.

let node: Node;
beforeEach(async () => {
  node = await Node.create();
});

const result = {
  cniVersion: "1.1.0",
  interfaces: [],
  ips: [{ address: "10.9.0.5/24", gateway: "10.9.0.1" }],
  routes: [],
  dns: {},
};
const config = (mapping?: Mapping, more: object = {}) => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "portmap",
  ...(mapping && { runtimeConfig: { portMappings: [mapping] }, prevResult: result }),
  ...more,
});
const call = (containerId: string, mapping?: Mapping, more: object = {}) => ({
  plugin: "portmap",
  containerId,
  netns: "/run/netns/pod",
  config: config(mapping, more),
});

describe.each(["nftables", "iptables"])(
  "UDP flows to a host port, mapped by %s, are forgotten by ADD and by DEL",
  (backend) => {
    const own = ["192.0.2.1", "192.0.2.9"];
    const flows = { "192.0.2.1": 40_001, "192.0.2.9": 40_002, "203.0.113.9": 40_003 };

    /** Flows that the node answers itself, or the pod a mapping led them to. */
    const remember = async (pod?: { address: string; port: number }): Promise<void> => {
      for (const [address, port] of Object.entries(flows)) {
        await node.run("conntrack", ["-D", "-p", "udp", "--sport", `${port}`]);
        const ends = ["-s", "198.51.100.7", "-d", address, "--sport", `${port}`, "--dport", "5353"];
        await node.must(
          "conntrack",
          "-I",
          "-t",
          "300",
          "-p",
          "udp",
          ...ends,
          "-r",
          pod?.address ?? address,
          "-q",
          "198.51.100.7",
          "--reply-port-src",
          `${pod?.port ?? 5353}`,
          "--reply-port-dst",
          `${port}`,
        );
      }
    };
    const forgotten = async (): Promise<string[]> => {
      const known = await node.must("conntrack", "-L", "-p", "udp");
      return Object.entries(flows)
        .filter(([, port]) => !known.includes(`sport=${port} `))
        .map(([address]) => address);
    };

    test.each<[string, Mapping, string[]]>([
      ["at the mapping's host address alone", udp(5353, 53, "192.0.2.9"), ["192.0.2.9"]],
      ["at every address of the node, and none elsewhere, where it has none", udp(5353, 53), own],
      ["but not for TCP", tcp(5353, 53), []],
    ])("%s", async (_what, mapping, expected) => {
      await node.ip("link set lo up");
      for (const address of own) await node.ip(`address add ${address}/32 dev lo`);
      await remember();
      expect(await forgotten()).toEqual([]);
      await node.succeed("ADD", call("pod-1", mapping, { backend }));
      expect(await forgotten()).toEqual(expected);
      await remember();
      await node.succeed("DEL", call("pod-1", undefined, { backend }));
      expect(await forgotten(), "the node's own").toEqual([]);
      await node.succeed("ADD", call("pod-1", mapping, { backend }));
      await remember({ address: "10.9.0.5", port: 53 });
      await node.succeed("DEL", call("pod-1", undefined, { backend }));
      expect(await forgotten()).toEqual(mapping.protocol === "udp" ? Object.keys(flows) : []);
    });
  },
);

test("GC removes the chains no mapping leads to any more, whoever's they were", async () => {
  const chains = async (): Promise<string[]> =>
    [...(await node.rulesetText()).matchAll(/chain (hostport-\S+)/g)].map(([, name]) => name!).sort();
  await node.succeed("ADD", call("pod-1", tcp(8080, 80)));
  await node.succeed(
    "ADD",
    call("pod-2", tcp(8081, 80), { snat: false, conditionsV4: ["ip", "saddr", "!=", "192.0.2.2"] }),
  );
  const all = ["hostport-10.9.0.0/24", "hostport-plain4", expect.stringMatching(/^hostport-plain4-if-/)];
  expect(await chains()).toEqual(all);
  await node.succeed("DEL", call("pod-2"));
  expect(await chains()).toEqual(all);
  await node.succeed("GC", {
    plugin: "portmap",
    config: config(undefined, { "cni.dev/valid-attachments": [{ containerID: "pod-1", ifname: "eth0" }] }),
  });
  expect(await chains()).toEqual(["hostport-10.9.0.0/24"]);
  await node.succeed("CHECK", call("pod-1", tcp(8080, 80)));
});

describe.each(reference.newest ? ["iptables", "nftables"] : ["iptables"])("beside the reference's %s", (backend) => {
  const theirs = { cniVersion: "1.0.0", ...(reference.newest && { backend }) };
  const made = async (containerId: string, mapping: Mapping, address = "10.9.0.5/24") => {
    const prevResult = { ...result, cniVersion: "1.0.0", ips: [{ ...result.ips[0], address }] };
    expect(await node.reference("ADD", call(containerId, mapping, { prevResult, ...theirs }))).toMatchObject({
      exitCode: 0,
    });
  };
  beforeEach(async () => {
    await node.outside();
  });

  test("with nothing to map no program is started, but to remove what the reference made for the container", async () => {
    await made("pod-1", tcp(8080, 80));
    const { env, started } = watchedTools();
    for (const verb of ["ADD", "CHECK"] as const) {
      await node.succeed(verb, { ...call("pod-1", undefined, { prevResult: result }), env });
    }
    await node.succeed("DEL", { ...call("pod-2", undefined, { prevResult: result }), env });
    expect(started()).toEqual([]);
    expect(await translations(node)).toContain("8080");
    await node.succeed("DEL", { ...call("pod-1"), env });
    expect(await translations(node)).not.toMatch(/CNI-DN-|8080/);
  });

  test("DEL with nothing to map leaves what leads to another interface of the container", async () => {
    await made("pod-1", tcp(8080, 80), "10.9.0.6/24");
    await node.succeed("DEL", call("pod-1", undefined, { prevResult: result }));
    expect(await translations(node)).toContain("8080");
  });
});

test("a rule in the reference's table that says nobody's name stays, and stops nobody", async () => {
  await node.must(
    "sh",
    "-c",
    "nft add table ip cni_hostport; nft add chain ip cni_hostport hostports; " +
      "nft add rule ip cni_hostport hostports tcp dport 8080 dnat to 10.9.0.9:80",
  );
  await node.succeed("ADD", call("pod-1", tcp(8080, 80)));
  await node.succeed("DEL", call("pod-1", tcp(8080, 80)));
  expect(await node.must("nft", "list", "chain", "ip", "cni_hostport", "hostports")).toContain(
    "tcp dport 8080 dnat to 10.9.0.9:80",
  );
});
