import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Node, temporaryFolder } from "./harness.ts";
import { findings, ipam, validateOn } from "./validate-call.ts";

describe("ADD warns of a key that was mistyped, and of no other,", () => {
  const [range] = ipam.ranges;
  const addresses = [{ address: "10.9.0.7/24", gatway: "10.9.0.1" }];
  const lost = "/nowhere/dhcp.sock";
  test.each<[string, object, string[]]>([
    ["host-local", { ranges: [range], rotues: [] }, ["ipam.rotues is unknown; routes?"]],
    ["podwire", { ranges: [range], rangs: [] }, ["ipam.rangs is unknown; ranges?"]],
    [
      "static",
      { addresses, routs: [], colour: 1 },
      ["ipam.addresses[0].gatway is unknown; gateway?", "ipam.routs is unknown; routes?"],
    ],
    [
      "dhcp",
      { daemonSocketPath: lost, daemonSocketpaths: lost, provid: [], request: [{ option: "1", skipDefualt: true }] },
      [
        "ipam.daemonSocketpaths is unknown; daemonSocketPath?",
        "ipam.provid is unknown; provide?",
        "ipam.request[0].skipDefualt is unknown; skipDefault?",
      ],
    ],
  ])("%s", async (type, keys, expected) => {
    const node = await Node.create();
    const log = join(temporaryFolder("log"), "log");
    const config = { cniVersion: "1.0.0", name: "n", vendor: "x", log: { file: log } };
    const own = { type, dataDir: node.dataDir, ...keys };
    const warnings = (): (string | undefined)[] =>
      readFileSync(log, "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as { level: string; message?: string })
        .filter(({ level, message }) => level === "warn" && message?.includes("unknown"))
        .map(({ message }) => message);
    const to = { containerId: "one", netns: await node.pod() };
    const inside = { ...config, type: "bridge", bridge: "br-slips", isDefaultGatway: true, ipam: own };
    await node.podwire("ADD", { plugin: "bridge", config: inside, ...to });
    expect(warnings()).toEqual(["isDefaultGatway is unknown; isDefaultGateway?", ...expected]);
    rmSync(log);
    // by itself it is handed another plugin's configuration
    const plugin = type === "podwire" ? "host-local" : type;
    await node.podwire("ADD", { plugin, config: inside, ...to, ifname: "eth1" });
    expect(warnings()).toEqual(expected);
    const path = join(temporaryFolder("conf"), "n.json");
    writeFileSync(path, JSON.stringify(inside));
    for (const each of expected) expect(findings(await validateOn(node, [path])).join("\n")).toContain(each);
  });
});
