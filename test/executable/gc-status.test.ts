import { execa } from "execa";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  bareEnvironment,
  bridge,
  callFor,
  complaint,
  type Config,
  detectSlowly,
  dualStack,
  everything,
  failure,
  hostLocal,
  programs,
  wirings,
  v4,
} from "./configs.ts";
import { type Answer, Node } from "./harness.ts";
import { translations } from "./ports.ts";

const entry = ({ call }: Attached): object => ({ containerID: call.containerId, ifname: call.ifname ?? "eth0" });

/** GC as a runtime calls it: no container in the environment. */
const collect = async (node: Node, config: Config, valid?: Attached[] | null): Promise<Answer> =>
  node.podwire("GC", {
    plugin: config.type,
    config: { ...config, ...(valid !== undefined && { "cni.dev/valid-attachments": valid?.map(entry) ?? null }) },
  });

describe("GC", () => {
  test.each(wirings)(
    "keeps what is valid and removes the rest, also of pods that are gone: %s",
    async (_what, config) => {
      const node = await Node.create();
      await node.ip("address add 192.168.7.7/32 dev lo"); // a pod that has no gateway on its link answers nobody without an address
      const valid = await attach(node, config(node));
      const clean = await node.snapshot();
      await attach(node, config(node));
      const gone = await attach(node, config(node));
      await gone.pod.remove();
      expect(await collect(node, config(node), [valid])).toMatchObject({ exitCode: 0, stdout: "" });
      expect(await node.snapshot()).toEqual(clean);
      expect([await complaint(node, valid), await node.ping(valid.ip4)]).toEqual(["", true]);
    },
  );

  test("touches no other network, not even one whose name begins the same", async () => {
    const node = await Node.create();
    const others: Attached[] = [];
    for (const [index, name] of ["net2", "net-", "NET", "ne"].entries()) {
      others.push(
        await attach(
          node,
          everything(node, { name, bridge: `br-${name}`, ipam: hostLocal(node, { subnet: `10.20.${index}.0/24` }) }),
        ),
      );
    }
    const clean = await node.snapshot();
    const { call } = await attach(
      node,
      everything(node, { bridge: "br-net2", isDefaultGateway: false, ipam: hostLocal(node, v4) }),
    );
    await collect(node, call.config, []);
    const after = await node.snapshot();
    expect([after.links, after.leases, after.routes]).toEqual([clean.links, clean.leases, clean.routes]);
    for (const other of others) expect(await complaint(node, other)).toBe("");
  });

  test("tells two interfaces of one container apart", async () => {
    const node = await Node.create();
    const pod = await node.pod();
    const first = await attach(node, everything(node), { netns: pod, containerId: "one" });
    const clean = await node.snapshot();
    await attach(node, everything(node, { isDefaultGateway: false, isGateway: true }), {
      netns: pod,
      containerId: "one",
      ifname: "net1",
    });
    await collect(node, everything(node), [first]);
    expect(await node.snapshot()).toEqual(clean);
    expect(await complaint(node, first)).toBe("");
  });

  test("a list that is absent says nothing: success, a warning, and nothing is removed", async () => {
    const node = await Node.create();
    const { call } = await attach(node, everything(node));
    const before = await node.snapshot();
    const { exitCode, stdout, stderr } = await collect(node, call.config);
    expect([exitCode, stdout]).toEqual([0, ""]);
    expect(stderr).toContain("cni.dev/valid-attachments");
    expect(await node.snapshot()).toEqual(before);
  });

  test("a list that is null, as Go writes an empty one, is empty: everything goes", async () => {
    const node = await Node.create();
    const { call } = await attach(node, everything(node));
    expect(await collect(node, call.config, null)).toMatchObject({ exitCode: 0, stdout: "" });
    expect((await node.links()).filter(({ ifname }) => ifname.startsWith("veth"))).toEqual([]);
    expect(node.leases()).toEqual({});
  });

  test("an entry that cannot be read is an error and removes nothing", async () => {
    const node = await Node.create();
    const { call } = await attach(node, everything(node));
    const before = await node.snapshot();
    const config = { ...call.config, "cni.dev/valid-attachments": [{ containerID: 7 }] };
    expect(failure(await node.podwire("GC", { plugin: "bridge", config })).code).toBe(7);
    expect(await node.snapshot()).toEqual(before);
  });

  test("beside an ADD it does not know of: that ADD fails, and leaves nothing; no address is given twice", async () => {
    const node = await Node.create();
    // duplicate address detection takes seconds: time for a GC
    const config = bridge(node, { isGateway: true, ipMasq: true, enabledad: true, ipam: dualStack(node) });
    await attach(node, config);
    await collect(node, config, []);
    const before = await node.snapshot();
    const call = await callFor(node, config);
    await detectSlowly(call);
    const adding = node.podwire("ADD", call);
    const isLinked = ({ ifname }: { ifname: string }): boolean => ifname.startsWith("veth");
    await expect.poll(async () => (await node.links()).filter(isLinked)).toHaveLength(1);
    expect((await collect(node, config, [])).exitCode).toBe(0);
    expect(await adding).toMatchObject({ exitCode: 1, error: { code: 11 } });
    expect(await node.rulesetText()).not.toContain(call.containerId);
    await collect(node, config, []); // a chain that no pod uses is the next GC's
    expect(await node.snapshot()).toEqual(before);
  });

  test("a record from the future, for the clock was set back since, is none of an ADD that began meanwhile", async () => {
    const node = await Node.create();
    const { call } = await attach(node, everything(node));
    const record = join(node.dataDir, ".podwire/net", `${call.containerId}:eth0`);
    const later = Date.now() / 1000 + 3600;
    utimesSync(record, later, later);
    expect((await collect(node, call.config, [])).exitCode).toBe(0);
    expect([node.leases(), (await node.links()).filter(({ ifname }) => ifname.startsWith("veth"))]).toEqual([{}, []]);
  });

  test.each<[string, object]>([
    ["portmap", {}],
    ["portmap", { backend: "iptables" }],
    ["firewall", {}],
    ["firewall", { backend: "iptables" }],
    ["bandwidth", { ingressRate: 1e6, ingressBurst: 1e6 }],
    ["tuning", { mtu: 1400 }],
    ["sbr", {}],
  ])("between the plugins of a chain: %s says that the link is gone, and leaves nothing (%j)", async (type, more) => {
    const node = await Node.create();
    const { call, result } = await attach(node, bridge(node, { isGateway: true }));
    await collect(node, call.config, []);
    const shown = async () => [await translations(node), await node.must("iptables-save", "-t", "filter")].join("\n");
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };
    const config = { cniVersion: "1.1.0", name: "net", type, runtimeConfig, prevResult: result, ...more };
    expect(await node.podwire("ADD", { ...call, plugin: type, config })).toMatchObject({
      exitCode: 1,
      error: { code: 11, msg: expect.stringContaining("was removed while the attachment was being made") },
    });
    expect(await shown()).not.toMatch(/8080|10\.9\.0\.2/);
  });

  test("goes on after one step failed, and reports it at the end; works with keys that are not valid", async () => {
    const node = await Node.create();
    const { call } = await attach(node, everything(node));
    const config = { ...call.config, mtu: "wrong", ipam: { type: "missing-ipam" } };
    expect(failure(await collect(node, config, [])).msg).toContain("missing-ipam");
    expect((await node.links()).filter(({ ifname }) => ifname.startsWith("veth"))).toEqual([]);
    expect(await node.rulesetText()).not.toContain(call.containerId);
    expect(await collect(node, { ...config, ipam: hostLocal(node) as object }, [])).toMatchObject({ exitCode: 0 });
    expect(node.leases()).toEqual({});
  });

  test("of an empty node succeeds and makes nothing", async () => {
    const node = await Node.create();
    const before = await node.snapshot();
    expect(await collect(node, everything(node), [])).toMatchObject({ exitCode: 0 });
    expect(await node.snapshot()).toEqual(before);
  });

  test("is forwarded to a delegated IPAM plugin with the whole configuration", async () => {
    const node = await Node.create();
    const seen = join(node.dataDir, "seen");
    const path = programs({ recorder: `{ echo "$CNI_COMMAND"; cat; } > ${seen}` });
    const config = {
      ...bridge(node, { ipam: { type: "recorder" } }),
      "cni.dev/valid-attachments": [{ containerID: "x", ifname: "eth0" }],
    };
    await node.succeed("GC", { plugin: "bridge", config, path });
    expect(node.leases({ all: true }).seen).toBe(`GC\n${JSON.stringify(config)}`);
  });
});

describe("STATUS", () => {
  const ask = async (node: Node, config: Config, more: object = {}): Promise<Answer> =>
    node.podwire("STATUS", { plugin: config.type, config, ...more });

  test.each(wirings)("is silent when the plugin can work, and changes nothing: %s", async (_what, config) => {
    const node = await Node.create();
    const before = await node.snapshot();
    expect(await ask(node, config(node))).toMatchObject({ exitCode: 0, stdout: "" });
    expect(await node.snapshot()).toEqual(before);
    expect(node.leases({ all: true })).toEqual({});
  });

  test("a full range is not an error", async () => {
    const node = await Node.create();
    const { call } = await attach(
      node,
      bridge(node, { ipam: hostLocal(node, { ...v4, rangeStart: "10.9.0.2", rangeEnd: "10.9.0.2" }) }),
    );
    expect(await ask(node, call.config)).toMatchObject({ exitCode: 0, stdout: "" });
  });

  test("takes no lock: it answers while another process holds it", async () => {
    const node = await Node.create();
    const { call } = await attach(node, bridge(node));
    const holder = execa("flock", [join(node.dataDir, "net", "lock"), "sh", "-c", "echo held; exec cat"], {
      reject: false,
    });
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    expect(await ask(node, call.config)).toMatchObject({ exitCode: 0 });
    holder.stdin.end();
    await holder;
  });

  test("is 50 when dataDir lies below a file, naming it", async () => {
    const node = await Node.create();
    writeFileSync(join(node.dataDir, "file"), "");
    const dataDir = join(node.dataDir, "file", "leases");
    expect(failure(await ask(node, bridge(node, { ipam: hostLocal(node, { ...v4, dataDir }) })))).toMatchObject({
      code: 50,
      msg: expect.stringContaining(dataDir),
    });
  });

  test("is 50 when dataDir is on a file system that is read-only", async () => {
    const node = await Node.create();
    const dataDir = join(node.dataDir, "read-only");
    mkdirSync(dataDir);
    await execa("mount", ["-t", "tmpfs", "-o", "ro", "none", dataDir]);
    try {
      expect(failure(await ask(node, bridge(node, { ipam: hostLocal(node, { ...v4, dataDir }) })))).toMatchObject({
        code: 50,
        msg: expect.stringContaining(dataDir),
      });
    } finally {
      await execa("umount", [dataDir]);
    }
  });

  test("is 50 when ipMasq needs iptables and they are missing", async () => {
    const node = await Node.create();
    const config = everything(node, { ipMasqBackend: "iptables" });
    expect(failure(await ask(node, config, { env: bareEnvironment() }))).toMatchObject({
      code: 50,
      msg: expect.stringContaining("iptables"),
    });
  });

  test("hands on the answer of a delegated IPAM plugin unchanged", async () => {
    const node = await Node.create();
    const path = programs({
      tired: `cat > /dev/null; echo '{"cniVersion":"1.1.0","code":51,"msg":"tired","details":"very"}'; exit 1`,
    });
    expect(failure(await ask(node, bridge(node, { ipam: { type: "tired" } }), { path }))).toMatchObject({
      code: 51,
      msg: "tired",
      details: "very",
    });
  });
});
