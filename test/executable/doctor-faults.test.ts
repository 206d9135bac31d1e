import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { apply, bridgeOf, type Break, makes, subnet } from "./doctor-makes.ts";
import { faultsOfLinks } from "./faults-of-links.ts";
import { faultsOfRules } from "./faults-of-rules.ts";
import { loadConf } from "./harness.ts";
import { type Finding, Scene } from "./scene.ts";

// Faults made for real: each must be the first that doctor names, in the right layer, in words that say what it is.

/** Where it says that repair mends a fault, that is so. */
async function keepsItsWord(scene: Scene, fault: Finding): Promise<void> {
  if (!fault.mend?.startsWith("podwire repair")) return;
  const { stdout } = await scene.runBeside("/usr/sbin:/usr/bin:/sbin:/bin", "repair", "default/web-1");
  if (stdout.includes("restart the pod")) return;
  const { findings } = await scene.examinePod("default/web-1");
  expect([stdout, findings.find(({ what }) => what === fault.what)]).toEqual([stdout, undefined]);
}

describe("doctor finds, and names first, what is wrong with a pod:", () => {
  const faults = [...faultsOfLinks, ...faultsOfRules].map((fault) => ({ name: `${fault[0]} (${fault[1]})`, fault }));

  test.each(faults)("$name", async ({ fault: [, make, breakIt, layer, what] }) => {
    const scene = await makes[make]();
    await apply(scene, await breakIt(scene));
    const { findings, exitCode } = await scene.examinePod("default/web-1");
    const first = findings.find(({ state }) => state === "FAULT");
    expect({ layer: first?.layer, what: first?.what }).toEqual({ layer, what: expect.stringMatching(what) as unknown });
    expect(first?.mend).toMatch(/./);
    expect(exitCode).toBe(1);
    // a person who asks has time for the gateway to be asked; the whole node has not
    if (!what.source.includes("does not answer")) {
      const node = await scene.examineNode();
      const all = [...node.node, ...node.pods.flatMap((pod) => pod.findings)];
      expect(all.filter(({ state }) => state === "FAULT").map((each) => each.layer)).toContain(layer);
      expect(node.exitCode).toBe(1);
    }
    await keepsItsWord(scene, first!);
  });
});

const ofNodes: [string, keyof typeof makes, Break, state: "warn" | "FAULT", layer: string, what: RegExp][] = [
  [
    "a plugin is missing",
    "kindnet",
    (s) => [writeConf(s, { plugins: [...s.list.plugins, { type: "nosuch" }] })],
    "FAULT",
    "plugins",
    /names nosuch: not in/,
  ],
  [
    "a version nobody speaks",
    "kindnet",
    (s) => [writeConf(s, { cniVersion: "9.9.9" })],
    "FAULT",
    "plugins",
    /has cniVersion 9\.9\.9/,
  ],
  [
    "a configuration that is no JSON",
    "ptp",
    (s) => [`echo '{' > ${s.confDir}/00-broken.conf`],
    "warn",
    "plugins",
    /00-broken\.conf/,
  ],
  [
    "leases cannot be written",
    "ptp",
    (s) => [
      writeConf(s, {
        plugins: s.list.plugins.map((p) => ({ ...p, ipam: { ...(p.ipam as object), dataDir: "/etc/passwd/x" } })),
      }),
    ],
    "FAULT",
    "plugins",
    /no lease can be written/,
  ],
  [
    "a range is full",
    "ptp",
    (s) => [
      writeConf(
        s,
        {
          plugins: s.list.plugins.map((p) => ({
            ...p,
            ipam: { ...(p.ipam as object), ranges: undefined, subnet: undefined, rangeStart: undefined },
          })),
        },
        s.first.ip4,
      ),
    ],
    "FAULT",
    "addresses",
    /1 of 1 used|2 of 2 used/,
  ],
  [
    "a file that is no lease",
    "ptp",
    (s) => [`: > ${s.node.dataDir}/${s.list.name}/10.99.0.9`],
    "warn",
    "addresses",
    /no lease block 10\.99\.0\.9/,
  ],
  [
    "an uplink will lose its advertised route",
    "kindnet, dual stack",
    () => [
      "ip -6 route replace default via 2001:db8::2 proto ra",
      "ip -6 route delete default proto boot || true",
      "sysctl -qw net.ipv6.conf.uplink.accept_ra=1",
    ],
    "FAULT",
    "forwarding",
    /uplink loses the default route/,
  ],
  [
    "a pod takes router advertisements into the node",
    "ptp, dual stack",
    (s) => [`sysctl -qw net.ipv6.conf.${s.first.hostVeth}.accept_ra=2`],
    "warn",
    "forwarding",
    /takes router advertisements/,
  ],
  [
    "a bridge with a small MTU",
    "bridge",
    (s) => [`ip link set ${bridgeOf(s)} mtu 1300`],
    "warn",
    "bridge",
    /has MTU 1300, less than the pod's/,
  ],
  [
    "iptables passes bridges by",
    "bridge",
    () => ["sysctl -qw net.bridge.bridge-nf-call-iptables=0"],
    "warn",
    "bridge-nf",
    /while iptables passes bridges by/,
  ],
  [
    "what a pod left that is gone",
    "ptp",
    async (s) => {
      await s.first.pod.vanish();
      return [];
    },
    "warn",
    "leftovers",
    /of 1 pod that is gone/,
  ],
];

function writeConf(scene: Scene, more: object, only?: string): string {
  rmSync(join(scene.confDir, `10-${scene.list.name}.conflist`));
  let list = { ...scene.list, ...more };
  if (only !== undefined) {
    const range = { subnet: subnet(scene), rangeStart: only, rangeEnd: only };
    list = {
      ...list,
      plugins: list.plugins.map((plugin) =>
        plugin.ipam
          ? { ...plugin, ipam: { type: "host-local", dataDir: scene.node.dataDir, ranges: [[range]] } }
          : plugin,
      ),
    };
  }
  writeFileSync(join(scene.confDir, "10-other.conflist"), JSON.stringify(list));
  return "true";
}

describe("doctor finds what is wrong with a node:", () => {
  const faults = ofNodes.map((fault) => ({ name: `${fault[0]} (${fault[1]})`, fault }));

  test.each(faults)("$name", async ({ fault: [, make, breakIt, state, layer, what] }) => {
    const scene = await makes[make]();
    await apply(scene, await breakIt(scene));
    const { node, pods, exitCode } = await scene.examineNode();
    const all = [...node, ...pods.flatMap(({ findings }) => findings)];
    expect(all.filter((each) => each.state === state)).toEqual(
      expect.arrayContaining([expect.objectContaining({ layer, what: expect.stringMatching(what) as unknown })]),
    );
    expect(exitCode).toBe(state === "FAULT" ? 1 : 0);
  });
});

test("a route that is gone is mended as doctor says, also where the runtime keeps no results", async () => {
  const scene = await Scene.make(loadConf("ptp.json"), { pods: 1, forgetful: true });
  const ways = ["route delete", "route replace unreachable", "route delete default; ip route delete"];
  for (const way of ways) {
    await scene.node.must("sh", "-ec", `ip ${way} ${scene.first.ip4}`);
    const { findings } = await scene.examinePod("web-1");
    const fault = findings.find(({ state }) => state === "FAULT");
    expect(fault).toMatchObject({ layer: "route", what: expect.stringMatching(/nowhere|to uplink/) as unknown });
    await scene.node.must("sh", "-ec", fault!.mend!);
    expect((await scene.examinePod("web-1")).findings.find(({ state }) => state === "FAULT")).toBe(undefined);
  }
});

test("where the runtime keeps no results, what mends a fault is left to no repair that cannot", async () => {
  const scene = await Scene.make(loadConf("bridge.json"), { pods: 1, forgetful: true });
  const { node, first } = scene;
  const firstFault = async () => (await scene.examinePod("web-1")).findings.find(({ state }) => state === "FAULT");
  for (const [where, link] of [
    [node, bridgeOf(scene)],
    [node, first.hostVeth],
    [first.pod, "eth0"],
  ] as const) {
    await where.ip(`link set ${link} down`);
    const { what, mend } = (await firstFault())!;
    expect(what).toContain("down");
    if (mend!.startsWith("podwire")) await scene.runBeside("/usr/sbin:/usr/bin:/sbin:/bin", "repair", "web-1");
    else await node.must("sh", "-ec", mend!);
    expect(await firstFault()).toBe(undefined);
  }
  await first.pod.ip(`address flush dev eth0 scope global`);
  const { layer, mend } = (await firstFault())!;
  expect({ layer, mend }).toEqual({ layer: "address", mend: expect.stringMatching(/^start web-1.* anew/) as unknown });
});
