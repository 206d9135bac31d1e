import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  attach,
  bridge,
  callFor,
  complaint,
  type Config,
  failure,
  hostDevice,
  hostLocal,
  macvlan,
  type More,
  namesIn,
  programs,
  ptp,
  refusal,
  tap,
  v4,
} from "./configs.ts";
import { type CniErrorText, executable, Node, podwireFolder, reference, temporaryFolder } from "./harness.ts";

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

type Make = (node: Node, more?: object) => Config;
const gatewayed: [string, Make][] = [
  ["bridge", bridge],
  ["ptp", ptp],
];

/** ADD by a plugin whose IPAM runs `script` and which must fail: its call and error; DEL followed, and nothing is left. */
async function takenBack(
  node: Node,
  make: Make,
  script: string,
  more: More = {},
): Promise<{ call: Awaited<ReturnType<typeof callFor>>; error: CniErrorText }> {
  const log = join(node.dataDir, "verbs");
  const config = make(node, { ipam: { type: "recorder" } });
  const before = await node.snapshot();
  const call = await callFor(node, config, { path: recorder(log, script), ...more });
  const error = await refusal(node, call);
  expect(verbs(log)).toEqual(["ADD", "DEL"]);
  expect(await node.snapshot()).toEqual(before);
  return { call, error };
}

describe("IPAM by podwire itself, under a name that gives no addresses: it would call itself, and that itself, for ever", () => {
  const main: [string, Make][] = [...gatewayed, ["macvlan", macvlan]];
  test.each(main)("is refused to %s by every verb but those that remove", async (_what, make) => {
    const node = await Node.create();
    await node.outside();
    const before = await node.snapshot();
    // a link to podwire, whatever it is called, and a file of its own
    const path = [podwireFolder(), join(node.dataDir, "bin")].join(":");
    mkdirSync(join(node.dataDir, "bin"));
    symlinkSync(executable, join(node.dataDir, "bin/calico"));
    for (const type of ["bridge", "ptp", "macvlan", "portmap", "loopback", "flannel", "calico"]) {
      const config = make(node, { ipam: { type } });
      const call = await callFor(node, config, { path });
      const error = { code: 7, msg: expect.stringMatching(`ipam.type is "${type}".*podwire itself`) as unknown };
      for (const verb of ["ADD", "STATUS"] as const) {
        expect(failure(await node.podwire(verb, call))).toMatchObject(error);
      }
      await node.succeed("DEL", call);
      await node.succeed("GC", { ...call, config: { ...config, "cni.dev/valid-attachments": [] } });
    }
    expect(await node.snapshot()).toEqual(before);
  });

  test("ends where it is a copy of it", async () => {
    const node = await Node.create();
    const path = temporaryFolder("copies");
    for (const name of ["bridge", "ptp"]) copyFileSync(executable, join(path, name));
    const call = await callFor(node, bridge(node, { ipam: { type: "ptp" } }), { path });
    const error = { code: 7, msg: expect.stringMatching(/ipam.type is "ptp".*podwire itself/) as unknown };
    expect(failure(await node.podwire("ADD", call))).toMatchObject(error);
    expect((await node.links()).filter(({ linkinfo }) => linkinfo?.info_kind === "veth")).toEqual([]);
  });
});

describe("IPAM of another executable", () => {
  test.each(gatewayed)("the reference's static serves %s: ADD, CHECK, DEL", async (_what, make) => {
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

  test.each(gatewayed)(
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
    expect((await takenBack(node, bridge, script)).error).toMatchObject(error);
  });

  const nothing = `echo '{"cniVersion":"1.0.0","dns":{}}'`;
  test.each<[string, Make]>([
    ...gatewayed,
    ["macvlan", macvlan],
    ["tap", tap],
    ["host-device", (node, more) => hostDevice(node, { device: "uplink", ...more })],
  ])(
    "%s: one that gives no address is refused, as by the reference; DEL follows, and nothing is left",
    async (_what, make) => {
      const node = await Node.create();
      await node.outside();
      const { call, error } = await takenBack(node, make, nothing);
      expect(error.msg).toMatch(/IPAM plugin recorder returned no IP addresses/);
      expect(await namesIn(call)).toEqual(["lo"]);
      if (!reference.newest) return;
      const theirs = await node.reference("ADD", { ...call, netns: await node.pod() });
      expect(theirs.error?.msg).toMatch(/missing IP config/);
    },
  );

  test.each(gatewayed)("%s: a step that fails afterwards takes the delegated lease back", async (_what, make) => {
    const node = await Node.create();
    await attach(node, bridge(node));
    const pod = await node.pod();
    await pod.ip("link add name eth0 type bridge");
    expect((await takenBack(node, make, answer, { netns: pod })).error.msg).toContain("eth0");
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
