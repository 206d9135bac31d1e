import { expect, test } from "vitest";
import { loadConf, Node, runList, type Answer, type Call, type Verb } from "../executable/harness.ts";

const addresses = ({ result }: Answer): string[] => result!.ips!.map(({ address }) => address.replace(/\/.*/, ""));

/** How a pod of the file's network reaches another one; undefined where there is one alone, or none is reached. */
const files: [string, string[] | undefined][] = [
  ["bridge-vlan.json", []],
  ["ipvlan.json", []],
  ["vlan.json", undefined],
  ["dummy.json", undefined],
  ["vrf.conflist", ["-I", "blue"]],
];

// This kernel's nftables have no NAT: `ipMasq` is tested elsewhere.
test.each(files)("conf/%s works, but for ipMasq", async (file, pingArgs) => {
  const conf = loadConf(file);
  const list = { ...conf, plugins: conf.plugins.map((plugin) => ({ ...plugin, ipMasq: false })) };
  const node = await Node.create();
  const outside = await node.outside();
  await node.ip(`route add default via ${outside.address4}`);
  const run = async (verb: Verb, call: Call) => node.podwire(verb, call);
  const first = { containerId: "first", netns: await node.pod() };
  const neighbour = pingArgs && (await runList(run, "ADD", list, { containerId: "second", netns: await node.pod() }));
  const before = await node.snapshot();
  const added = await runList(run, "ADD", list, first);
  expect(added).toMatchObject({ exitCode: 0, stderr: "", result: { cniVersion: list.cniVersion } });
  for (const address of neighbour ? addresses(neighbour) : []) {
    expect([address, await first.netns.ping(address, { args: pingArgs ?? [] })]).toEqual([address, true]);
  }
  for (const verb of ["CHECK", "DEL", "DEL"] as const) {
    const answer = await runList(run, verb, list, { ...first, result: added.result! });
    expect(answer).toMatchObject({ exitCode: 0, stdout: "" });
  }
  expect(await node.snapshot()).toEqual(before);
  expect((await first.netns.links()).map(({ ifname }) => ifname)).toEqual(["lo"]);
});
