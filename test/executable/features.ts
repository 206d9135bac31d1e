import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { executable, loadConf, Node, podwireFolder, temporaryFolder } from "./harness.ts";

/** What a configuration needs of the kernel: the option's name, and a command that works where it is there. */
const needs: [file: string, option: string, command: string][] = [
  ["bridge-vlan.json", "BRIDGE_VLAN_FILTERING", "ip link add b0 type bridge vlan_filtering 1"],
  ["macvlan.json", "MACVLAN", "ip link add link v0 m0 type macvlan"],
  ["ipvlan.json", "IPVLAN", "ip link add link v0 i0 type ipvlan"],
  ["vlan.json", "VLAN_8021Q", "ip link add link v0 v0.5 type vlan id 5"],
  ["dummy.json", "DUMMY", "ip link add d0 type dummy"],
  ["vrf.conflist", "NET_VRF", "ip link add r0 type vrf table 10"],
  ["tap.json", "TUN", "ip tuntap add t0 mode tap"],
  [
    "bridge-bandwidth.conflist",
    "IFB|NET_SCH_TBF",
    "ip link add f0 type ifb && tc qdisc add dev v0 root tbf rate 1mbit burst 10k latency 9ms",
  ],
];

/** STATUS, doctor and validate say the same of what the kernel that runs the tests has, and change nothing. */
export function testFeatures(): void {
  test.each(needs)("conf/%s: what it needs of the kernel is asked for (%s)", async (file, option, command) => {
    const node = await Node.create();
    // nftables' families are another question
    const conf = loadConf(file);
    const list = { ...conf, plugins: conf.plugins.map((plugin) => ({ ...plugin, ipMasq: false })) };
    const confDir = temporaryFolder("conf");
    const path = join(confDir, "10-net.conflist");
    writeFileSync(path, JSON.stringify(list));
    const before = await node.snapshot();
    const run = async (...args: string[]): Promise<string> => {
      const more = ["--conf-dir", confDir, "--bin-dir", podwireFolder()];
      return (
        await node.run(executable, [...args, ...more], { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } })
      ).stdout.replaceAll(/\s+/g, " ");
    };
    const [validated, examined] = [await run("validate", path), await run("doctor")];
    const plugin = list.plugins.at(-1)!;
    const config = { cniVersion: "1.1.0", name: list.name, ...plugin };
    const { error } = await node.podwire("STATUS", { plugin: plugin.type, config });
    expect(await node.snapshot()).toEqual(before);
    await node.must("ip", "link", "add", "v0", "type", "veth", "peer", "v1");
    const isThere = (await node.run("sh", ["-ec", command])).exitCode === 0;
    const lacks = expect.stringMatching(new RegExp(`CONFIG_(${option})\\)`)) as unknown;
    const said = [validated, examined, error?.msg ?? ""];
    expect(said).toEqual(said.map(() => (isThere ? expect.not.stringContaining("CONFIG_") : lacks)));
    expect(error?.code).toBe(isThere ? undefined : 50);
  });
}
