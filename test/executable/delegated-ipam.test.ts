import { readFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  attach,
  bridge,
  callFor,
  complaint,
  type Config,
  hostDevice,
  hostLocal,
  macvlan,
  namesIn,
  programs,
  ptp,
  refusal,
  v4,
} from "./configs.ts";
import { Node, reference } from "./harness.ts";

const fixed = {
  type: "static",
  addresses: [
    { address: "10.9.0.5/24", gateway: "10.9.0.1" },
    { address: "fd00:9::5/64", gateway: "fd00:9::1" },
  ],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: { nameservers: ["10.1.0.1"] },
};
const newestVersion = { cniVersion: reference.newest ? "1.1.0" : "1.0.0" };

/** An IPAM plugin that notes the verbs it was called with in `log`, and runs `script` for ADD. */
const recorder = (log: string, script: string): string =>
  programs({ recorder: `echo "$CNI_COMMAND" >> ${log}; cat > /dev/null; case $CNI_COMMAND in ADD) ${script};; esac` });
const verbs = (log: string): string[] => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []);
const answer = `echo '{"cniVersion":"1.0.0","interfaces":[{"name":"x"}],"ips":[{"address":"10.9.0.5/24","gateway":"10.9.0.1","interface":0}]}'`;

describe("IPAM of another executable", () => {
  test.each([
    ["bridge", bridge],
    ["ptp", ptp],
  ])("the reference's static serves %s: ADD, CHECK, DEL", async (_what, make) => {
    const node = await Node.create();
    await attach(node, make(node));
    const before = await node.snapshot();
    const attached = await attach(node, make(node, { ...newestVersion, isGateway: true, ipMasq: true, ipam: fixed }), {
      path: `/nowhere:${reference.folder}`,
    });
    expect(await attached.pod.addresses("eth0")).toEqual(["10.9.0.5/24", "fd00:9::5/64"]);
    expect(attached.result).toMatchObject({ routes: [{ dst: "0.0.0.0/0" }], dns: { nameservers: ["10.1.0.1"] } });
    expect(await attached.pod.ping("10.9.0.1")).toBe(true);
    expect(await complaint(node, attached)).toBe("");
    await node.succeed("DEL", attached.call);
    const { links, leases, routes } = await node.snapshot();
    expect({
      leases,
      routes: routes.filter(({ dev }) => dev !== "br0"),
      names: links.map(({ ifname }) => ifname),
    }).toEqual({
      leases: before.leases,
      routes: before.routes.filter(({ dev }) => dev !== "br0"),
      names: before.links.map(({ ifname }) => ifname),
    });
  });

  test("the reference's host-local, under a name of its own, shares its leases with the built-in one", async () => {
    const node = await Node.create();
    const path = programs({ "their-host-local": `exec ${join(reference.folder, "host-local")}` });
    const theirs = bridge(node, { ...newestVersion, ipam: { ...hostLocal(node), type: "their-host-local" } });
    const [one, two, three] = [
      await attach(node, theirs, { path }),
      await attach(node, bridge(node)),
      await attach(node, theirs, { path }),
    ];
    expect([one.ip4, two.ip4, three.ip4]).toEqual(["10.9.0.2", "10.9.0.3", "10.9.0.4"]);
    expect(await complaint(node, three)).toBe("");
    for (const { call } of [one, two, three]) await node.succeed("DEL", call);
    expect(node.leases()).toEqual({});
  });

  test.each([["host-local"], ["podwire"]])("ipam.type %s is built in and needs no CNI_PATH", async (type) => {
    const node = await Node.create();
    const attached = await attach(node, bridge(node, { ipam: { ...hostLocal(node, v4), type } }), {
      env: { CNI_PATH: "" },
    });
    expect(await complaint(node, attached, { env: { CNI_PATH: "" } })).toBe("");
    await node.succeed("DEL", { ...attached.call, env: { CNI_PATH: "" } });
    expect(node.leases()).toEqual({});
  });

  test.each([
    ["bridge", bridge],
    ["ptp", ptp],
  ])(
    "%s: a missing executable is code 7, naming ipam.type and CNI_PATH; no CNI_PATH is code 4",
    async (_what, make) => {
      const node = await Node.create();
      const before = await node.snapshot();
      const config = make(node, { ipam: { type: "no-such-ipam" } });
      expect(await refusal(node, await callFor(node, config, { path: "/nowhere:/opt" }))).toMatchObject({
        code: 7,
        msg: expect.stringMatching(/no-such-ipam.*ipam\.type.*CNI_PATH.*\/nowhere/),
      });
      expect(await refusal(node, await callFor(node, config, { env: { CNI_PATH: "" } }))).toMatchObject({
        code: 4,
        msg: expect.stringMatching(/CNI_PATH/),
      });
      expect(await node.snapshot()).toEqual(before);
    },
  );

  test.each([
    [
      "fails with an error of its own",
      `echo '{"code":123,"msg":"none left","details":"of them"}'; exit 1`,
      { code: 123, msg: "none left", details: "of them" },
    ],
    [
      "fails without JSON",
      `echo "segfault" >&2; exit 3`,
      { code: 999, msg: expect.stringContaining("recorder"), details: expect.stringContaining("segfault") },
    ],
    ["answers without an address", "echo '{}'", { msg: expect.stringMatching(/IP|address/) }],
    ["answers null, which is an empty result", "echo null", { msg: expect.stringMatching(/IP|address/) }],
    ["answers what is no result", "echo nonsense", { code: 6 }],
  ])("one that %s: DEL follows, and nothing is left", async (_what, script, error) => {
    const node = await Node.create();
    await attach(node, bridge(node));
    const log = join(node.dataDir, "verbs");
    const before = await node.snapshot();
    const call = await callFor(node, bridge(node, { ipam: { type: "recorder" } }), { path: recorder(log, script) });
    expect(await refusal(node, call)).toMatchObject(error);
    expect(verbs(log)).toEqual(["ADD", "DEL"]);
    expect(await node.snapshot()).toEqual(before);
  });

  const nothing = `echo '{"cniVersion":"1.0.0","dns":{}}'`;
  test.each<[string, (node: Node, more: object) => Config]>([
    ["bridge", bridge],
    ["ptp", ptp],
    ["macvlan", macvlan],
    ["tap", (node, more) => ({ ...macvlan(node, more), type: "tap" })],
    ["host-device", (node, more) => hostDevice(node, { device: "uplink", ...more })],
  ])(
    "%s: one that gives no address is refused, as by the reference; DEL follows, and nothing is left",
    async (_what, make) => {
      const node = await Node.create();
      await node.outside();
      const log = join(node.dataDir, "verbs");
      const config = make(node, { ipam: { type: "recorder" } });
      const before = await node.snapshot();
      const call = await callFor(node, config, { path: recorder(log, nothing) });
      expect((await refusal(node, call)).msg).toMatch(/IPAM plugin recorder returned no IP addresses/);
      expect(verbs(log)).toEqual(["ADD", "DEL"]);
      expect(await namesIn(call)).toEqual(["lo"]);
      expect(await node.snapshot()).toEqual(before);
      if (!reference.newest) return;
      const theirs = await node.reference("ADD", { ...call, netns: await node.pod() });
      expect(theirs.error?.msg).toMatch(/missing IP config/);
    },
  );

  test.each([
    ["bridge", bridge],
    ["ptp", ptp],
  ])("%s: a step that fails afterwards takes the delegated lease back", async (_what, make) => {
    const node = await Node.create();
    await attach(node, bridge(node));
    const log = join(node.dataDir, "verbs");
    const pod = await node.pod();
    await pod.ip("link add name eth0 type bridge");
    const before = await node.snapshot();
    await refusal(
      node,
      await callFor(node, make(node, { ipam: { type: "recorder" } }), { netns: pod, path: recorder(log, answer) }),
    );
    expect(verbs(log)).toEqual(["ADD", "DEL"]);
    expect(await node.snapshot()).toEqual(before);
  });

  test("its stderr is passed on, its interfaces are dropped", async () => {
    const node = await Node.create();
    const path = recorder(join(node.dataDir, "verbs"), `echo "a hint" >&2; ${answer}`);
    const { stderr, result } = await node.succeed(
      "ADD",
      await callFor(node, bridge(node, { ipam: { type: "recorder" } }), { path }),
    );
    expect(stderr).toContain("a hint");
    expect(result?.interfaces).toHaveLength(3);
    expect(result?.ips).toEqual([{ address: "10.9.0.5/24", gateway: "10.9.0.1", interface: 2 }]);
  });

  test("DEL wires everything else down when the executable is gone, and says so", async () => {
    const node = await Node.create();
    const log = join(node.dataDir, "verbs");
    const { call, hostVeth } = await attach(node, bridge(node, { ipam: { type: "recorder" } }), {
      path: recorder(log, answer),
    });
    const answered = await node.podwire("DEL", { ...call, path: "/nowhere" });
    expect(answered.error).toMatchObject({ code: 7, msg: expect.stringContaining("recorder") });
    expect(await node.link(hostVeth)).toBeUndefined();
  });
});
