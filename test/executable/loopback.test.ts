import { describe, expect, test } from "vitest";
import { callFor, failure, versions } from "./configs.ts";
import { Node } from "./harness.ts";

const config = (more: object = {}) => ({ cniVersion: "1.1.0", name: "lo", type: "loopback", ...more });
const isUp = async (namespace: { link(name: string): Promise<{ flags: string[] } | undefined> }): Promise<boolean> =>
  (await namespace.link("lo"))!.flags.includes("UP");

describe("loopback", () => {
  test.each(versions)("sets lo up and reports it in the shape of %s", async (cniVersion) => {
    const node = await Node.create();
    const pod = await node.pod();
    const { result } = await node.succeed(
      "ADD",
      await callFor(node, config({ cniVersion }), { netns: pod, ifname: "lo" }),
    );
    const old = cniVersion.startsWith("0.");
    const version = (family: string): object => (old ? { version: family } : {});
    expect(result).toEqual(
      /^0\.[12]\./.test(cniVersion)
        ? { cniVersion, ip4: { ip: "127.0.0.1/8" }, ip6: { ip: "::1/128" }, dns: {} }
        : {
            cniVersion,
            interfaces: [
              {
                name: "lo",
                mac: "00:00:00:00:00:00",
                ...(cniVersion === "1.1.0" && { mtu: 65536 }),
                sandbox: pod.path,
              },
            ],
            ips: [
              { ...version("4"), address: "127.0.0.1/8", interface: 0 },
              { ...version("6"), address: "::1/128", interface: 0 },
            ],
            ...(old && { dns: {} }),
          },
    );
    expect([await isUp(pod), await pod.ping("127.0.0.1"), await pod.ping("::1")]).toEqual([true, true, true]);
  });

  test("CNI_IFNAME plays no part, and prevResult passes through", async () => {
    const node = await Node.create();
    const prevResult = {
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", sandbox: "/x" }],
      ips: [{ address: "10.9.0.2/24", interface: 0 }],
    };
    const { result } = await node.succeed("ADD", await callFor(node, config({ prevResult })));
    expect(result).toEqual(prevResult);
  });

  test("CHECK notices that lo is down, DEL sets it down, twice and without a namespace", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const call = await callFor(node, config(), { netns: pod, ifname: "lo" });
    expect(failure(await node.podwire("CHECK", call)).msg).toContain("is down");
    await node.succeed("ADD", call);
    await node.succeed("CHECK", call);
    await node.succeed("DEL", call);
    expect(await isUp(pod)).toBe(false);
    await node.succeed("DEL", call);
    await node.succeed("DEL", { ...call, netns: "/run/netns/gone" });
    await node.succeed("DEL", { ...call, netns: "" });
  });

  test.each(["ADD", "DEL"] as const)(
    "%s in the host's own namespace is error 8 and leaves its lo alone",
    async (verb) => {
      const node = await Node.create();
      const call = await callFor(node, config(), { netns: node });
      expect(failure(await node.podwire(verb, call)).code).toBe(8);
      expect(await isUp(node)).toBe(true);
      await node.succeed(verb, { ...call, env: { CNI_NETNS_OVERRIDE: "true" } });
      expect(await isUp(node)).toBe(verb === "ADD");
    },
  );

  test("an address that is not loopback is an error", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    await pod.ip("address add 10.1.1.1/32 dev lo");
    expect(failure(await node.podwire("ADD", await callFor(node, config(), { netns: pod })))).toMatchObject({
      msg: expect.stringContaining("10.1.1.1/32"),
    });
    expect(await isUp(pod)).toBe(false);
  });

  test("GC and STATUS succeed", async () => {
    const node = await Node.create();
    const answers = [
      await node.podwire("STATUS", { plugin: "loopback", config: config() }),
      await node.podwire("GC", { plugin: "loopback", config: config({ "cni.dev/valid-attachments": [] }) }),
    ];
    expect(answers.map(({ exitCode, stdout }) => [exitCode, stdout])).toEqual([
      [0, ""],
      [0, ""],
    ]);
  });
});
