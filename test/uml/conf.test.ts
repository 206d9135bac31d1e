import { expect, test } from "vitest";
import { loadConf, Node, runList, type Answer, type Call, type Verb } from "../executable/harness.ts";

const addresses = ({ result }: Answer): string[] => result!.ips!.map(({ address }) => address.replace(/\/.*/, ""));

// This kernel's nftables have no NAT: `ipMasq` is tested elsewhere.
test.each(["bridge-vlan.json"])("conf/%s works, but for ipMasq", async (file) => {
  const conf = loadConf(file);
  const list = { ...conf, plugins: conf.plugins.map((plugin) => ({ ...plugin, ipMasq: false })) };
  const node = await Node.create();
  const run = async (verb: Verb, call: Call) => node.podwire(verb, call);
  const [first, second] = [
    { containerId: "first", netns: await node.pod() },
    { containerId: "second", netns: await node.pod() },
  ];
  const neighbour = await runList(run, "ADD", list, second);
  const before = await node.snapshot();
  const added = await runList(run, "ADD", list, first);
  expect(added).toMatchObject({ exitCode: 0, stderr: "", result: { cniVersion: list.cniVersion } });
  for (const address of addresses(neighbour)) {
    expect([address, await first.netns.ping(address)]).toEqual([address, true]);
  }
  for (const verb of ["CHECK", "DEL", "DEL"] as const) {
    expect(await runList(run, verb, list, { ...first, result: added.result! })).toMatchObject({
      exitCode: 0,
      stdout: "",
    });
  }
  expect(await node.snapshot()).toEqual(before);
});
