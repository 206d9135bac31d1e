import { describe, expect, test } from "vitest";
import { after, podwire, theirs, wire } from "./chained.ts";
import { failure } from "./configs.ts";
import { Node, reference } from "./harness.ts";
import { add, complaint, ifbs, redirects, shapers } from "./shapers.ts";

// bandwidth beside the reference's: the same sequences, and pods that change over from one to the other.

const both = { type: "bandwidth", ingressRate: 8e6, ingressBurst: 8e5, egressRate: 4e6, egressBurst: 4e5 };
const shaped = ["bwp tbf 500000 50000", "veth ingress", "veth tbf 1000000 100000"];

describe.runIf(reference.newest)("beside the reference", () => {
  test.each(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])("the same results and qdiscs, %s", async (version) => {
    const transcripts = await Promise.all(
      [podwire, theirs].map(async (run) => {
        const node = await Node.create();
        const wired = await wire(node, { by: run, version });
        const steps: unknown[] = [];
        const step = async (verb: "ADD" | "CHECK" | "DEL", config: object, prevResult: unknown = wired.result) => {
          const answer = await run(node, verb, after(wired.call(config), prevResult));
          const [ifb] = await ifbs(node);
          const plain = (text: string) =>
            text
              .replaceAll(wired.hostVeth, "VETH")
              .replaceAll(wired.pod.path, "POD")
              .replaceAll(/"(..:){5}..("|$)/g, "MAC")
              .replaceAll(/\s*"mtu": 1500,/g, "");
          const outcome = answer.exitCode === 0 ? plain(answer.stdout).trim() : "failed";
          steps.push(
            verb,
            outcome,
            await shapers(node),
            ifb?.name,
            await redirects(node, wired.hostVeth).catch(() => []),
          );
          return answer.result;
        };
        await step("ADD", { type: "bandwidth" });
        const result = await step("ADD", both);
        if (!version.startsWith("0.3")) await step("CHECK", both, result);
        if (!version.startsWith("0.3")) await step("CHECK", { ...both, egressRate: 8_000 }, result);
        await step("ADD", both);
        await run(node, "DEL", {
          plugin: "bridge",
          containerId: "pod",
          netns: wired.pod,
          config: {
            cniVersion: version,
            name: "net",
            type: "bridge",
            bridge: "br0",
            ipam: { type: "host-local", dataDir: node.dataDir, ranges: [] },
          },
        });
        await step("DEL", both);
        await step("DEL", { type: "bandwidth" });
        return steps;
      }),
    );
    expect(transcripts[0]).toEqual(transcripts[1]);
  });

  const amounts = [
    both,
    { ...both, egressBurst: 0xffff_ffff, ingressRate: 1e6 },
    { ...both, ingressRate: 1_234_567, ingressBurst: 7_654_321 },
  ];
  test.each(amounts)("a pod of the reference's is checked and freed by podwire: %j", async (config) => {
    const node = await Node.create();
    const wired = await wire(node, { by: theirs });
    const { result } = await theirs(node, "ADD", wired.call(config));
    expect(await complaint(wired, config, result!)).toBe("");
    expect(failure(await node.podwire("ADD", wired.call(config))).msg).toContain("DEL comes first");
    await node.succeed("DEL", wired.call(config));
    expect([await shapers(node), await ifbs(node)]).toEqual([[], []]);
    await add(wired, config);
  });

  test("the same without prevResult, without the namespace, and where the link is gone", async () => {
    const node = await Node.create();
    for (const more of [{}, { netns: "" }]) {
      const wired = await wire(node, { by: theirs, containerId: `pod${JSON.stringify(more).length}` });
      await theirs(node, "ADD", wired.call({ ...both, ingressRate: 0, ingressBurst: 0 }));
      if ("netns" in more) await wired.pod.vanish();
      await node.succeed("DEL", wired.call({ type: "bandwidth", prevResult: undefined }, more));
      expect([await shapers(node), await ifbs(node)]).toEqual([[], []]);
    }
  });

  test("a pod of podwire's is checked and freed by the reference", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    for (const config of [both, { ...both, ingressRate: 1_234_567, ingressBurst: 7_654_321 }]) {
      const result = await add(wired, config);
      expect(await theirs(node, "CHECK", after(wired.call(config), result))).toMatchObject({ exitCode: 0 });
      expect(await theirs(node, "DEL", after(wired.call(config), result))).toMatchObject({ exitCode: 0 });
      expect(await ifbs(node)).toEqual([]);
      await node.succeed("DEL", wired.call(config));
      await node.run("tc", ["qdisc", "del", "dev", wired.hostVeth, "ingress"]);
    }
  });

  test("an interface keeps the reference's ifb when its container's other one goes, and the other gets a name of its own", async () => {
    const node = await Node.create();
    const first = await wire(node, { by: theirs });
    await theirs(node, "ADD", first.call(both));
    const second = await wire(node, { netns: first.pod, ifname: "net1" });
    await node.succeed("DEL", second.call(both));
    expect(await shapers(node)).toEqual(shaped);
    await add(second, both);
    expect(await ifbs(node)).toHaveLength(2);
    await node.succeed("DEL", first.call(both));
    expect((await ifbs(node)).map(({ alias }) => alias)).toEqual(["podwire: bandwidth net pod net1"]);
  });

  test("an ifb that a failed ADD of the reference left makes way", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    await node.ip("link add bwp6230a40fd8ff type ifb");
    const { stderr } = await node.succeed("ADD", wired.call(both));
    expect(stderr).toContain("removed ifb bwp6230a40fd8ff, which an ADD that failed left behind");
    expect(await shapers(node)).toEqual(shaped);
  });
});
