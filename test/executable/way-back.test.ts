import { describe, expect, test } from "vitest";
import { loadConf, reference, runList } from "./harness.ts";
import { Scene } from "./scene.ts";

// podwire is taken off a node whose pods it made: the reference's DEL frees addresses and links, and what it knows
// nothing of, podwire's rules and records, goes with `podwire gc`, or with GC, from wherever it is run.

const files = [
  "bridge.json",
  "bridge-dual-stack.json",
  "bridge-ports.json",
  "bridge-isolated.json",
  "bridge-portmap.conflist",
  "bridge-firewall.conflist",
  "bridge-bandwidth.conflist",
  "bridge-tuning.conflist",
  "ptp.json",
  "ptp-dual-stack.json",
  "ptp-link-local.json",
  "kindnet.conflist",
  "kindnet-dual-stack.conflist",
];

describe.runIf(reference.newest)(
  "after the reference's DEL nothing is left of a pod of podwire's but for podwire",
  () => {
    describe.each(["podwire gc", "GC"])("and %s collects that:", (how) => {
      test.each(files)("%s", async (file) => {
        const capabilities = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };
        const scene = await Scene.make(loadConf(file), { pods: 1, capabilities, forgetful: true });
        const { node, list, first } = scene;
        const wanted = [{ containerID: first.containerId, ifname: "eth0" }];
        /** all but tables the reference makes as it looks for rules of its own */
        const state = async () => ({
          ...(await node.snapshot()),
          ruleset: await node.must("nft", "list", "table", "inet", "podwire"),
          records: Object.keys(node.leases({ all: true })).filter((path) => path.includes("-id")),
        });
        const before = await state();
        const gone = await scene.add("web-2", { capabilities: {}, forgetful: true });
        const of = { containerId: gone.containerId, netns: gone.pod, capabilities: {}, result: gone.result };
        const { exitCode, stdout } = await runList(node.reference.bind(node), "DEL", list, of);
        expect([exitCode, stdout]).toEqual([0, ""]);
        await gone.pod.vanish();
        const after = await state();
        expect([after.leases, after.links, after.routes]).toEqual([before.leases, before.links, before.routes]);
        expect(after.records).toHaveLength(2);
        if (how === "podwire gc") {
          expect(await scene.runBeside("/usr/sbin:/usr/bin:/sbin:/bin", "gc")).toMatchObject({ exitCode: 0 });
        } else {
          for (const plugin of list.plugins) {
            const config = { ...plugin, name: list.name, cniVersion: "1.1.0", "cni.dev/valid-attachments": wanted };
            await node.succeed("GC", { plugin: plugin.type, config });
          }
        }
        expect(await state()).toEqual(before);
      });
    });
  },
);
