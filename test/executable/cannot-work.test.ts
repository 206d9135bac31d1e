import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bridge, callFor, type Config, hostDevice, macvlan, ptp, tap } from "./configs.ts";
import { wire } from "./chained.ts";
import { Node, temporaryFolder } from "./harness.ts";
import { ports, by, call, withoutNftables } from "./weakened.ts";

// Where ADD cannot work STATUS says so, and ADD changes nothing.

describe("STATUS is 50, and ADD fails and leaves nothing,", () => {
  const wired: [string, (node: Node) => Config][] = [
    ["bridge", bridge],
    ["ptp", ptp],
    ["macvlan", macvlan],
    ["tap", tap],
  ];
  describe.each(["net_admin", "sys_admin"])("without CAP_%s", (capability) => {
    test.each(wired)("%s", async (_what, config) => {
      const node = await Node.create();
      await node.outside();
      const lacking = ["setpriv", "--bounding-set", `-${capability}`, "--inh-caps", `-${capability}`];
      const asked = { ...call(config(node)), netns: await node.pod() };
      await node.succeed("STATUS", asked);
      const before = await node.snapshot();
      const status = await by(lacking, node, "STATUS", asked);
      expect(JSON.parse(status.stdout || "{}")).toMatchObject({
        code: 50,
        msg: expect.stringContaining(`CAP_${capability.toUpperCase()}`),
      });
      const added = await by(lacking, node, "ADD", asked);
      expect(JSON.parse(added.stdout)).toMatchObject({
        msg: expect.stringContaining(`CAP_${capability.toUpperCase()}`),
      });
      expect(await node.snapshot()).toEqual(before);
    });
  });

  const kinds: [string, (node: Node) => Config][] = [
    ["ipMasq", (node) => bridge(node, { ipMasq: true })],
    ["macspoofchk", (node) => bridge(node, { macspoofchk: true })],
    ["port mappings", (node) => ptp(node, ports)],
  ];

  test.each(kinds)("where there is no nftables: %s", async (_what, config) => {
    const node = await Node.create();
    const before = await node.snapshot();
    const asked = { ...call(config(node)), netns: await node.pod() };
    const status = await by(withoutNftables, node, "STATUS", asked);
    expect(JSON.parse(status.stdout)).toMatchObject({ code: 50, msg: expect.stringContaining("nftables") });
    const added = await by(withoutNftables, node, "ADD", asked);
    expect(JSON.parse(added.stdout)).toMatchObject({ msg: expect.stringContaining("nftables") });
    expect(await node.snapshot()).toEqual(before);
  });

  /**
   * Runs a verb and asks, in the transaction that makes the table, for a family this kernel has not instead: Novell's.
   * Which one that is shows itself on a node like this one.
   */
  async function withoutFamily(
    node: Node,
    verb: "ADD" | "STATUS",
    config: (node: Node) => Config,
  ): Promise<{ exitCode: number; stdout: string }> {
    const NFPROTO_IPX = 4;
    const file = join(temporaryFolder("strace"), "sent");
    const strace = ["strace", "-qq", "-o", file, "-e", "trace=sendto"];
    const other = await Node.create();
    await by([...strace, "-e", "write=all"], other, verb, { ...call(config(other)), netns: await other.pod() });
    const calls = readFileSync(file, "utf8")
      .split(/^sendto/m)
      .slice(1)
      .map((text) =>
        [...text.matchAll(/^ \| [0-9a-f]{5}  ((?:[0-9a-f]{2} +)+)/gm)].flatMap(([, line]) => line!.trim().split(/ +/)),
      );
    // NFNL_MSG_BATCH_BEGIN (0x10) has 20 bytes, and the family follows the header of NFT_MSG_NEWTABLE (0x0a00)
    const isMaking = (bytes: string[]): boolean =>
      bytes.slice(4, 6).join("") === "1000" && bytes.slice(24, 26).join("") === "000a";
    const nth = calls.findIndex(isMaking);
    expect(nth).toBeGreaterThanOrEqual(0);
    const poke = `@arg2=${calls[nth]!.slice(0, 36).join("")}0${NFPROTO_IPX}`;
    const asked = { ...call(config(node)), netns: await node.pod() };
    return by([...strace, "-e", `inject=sendto:poke_enter=${poke}:when=${nth + 1}`], node, verb, asked);
  }

  test.each(kinds)("where nftables lacks the family: %s", async (_what, config) => {
    const node = await Node.create();
    const before = await node.snapshot();
    const asked = call(config(node));
    expect(await by(["env"], node, "STATUS", asked)).toEqual({ exitCode: 0, stdout: "" });
    const message = expect.stringMatching(/nft.*EOPNOTSUPP/);
    const status = await withoutFamily(node, "STATUS", config);
    expect(JSON.parse(status.stdout)).toMatchObject({ code: 50, msg: message });
    expect(await node.snapshot()).toEqual(before);
    const added = await withoutFamily(node, "ADD", config);
    expect(JSON.parse(added.stdout)).toMatchObject({ code: 999, msg: message });
    const after = await node.snapshot();
    expect([after.leases, after.links.filter((text) => JSON.stringify(text).includes("veth"))]).toEqual([{}, []]);
    expect(await by(["env"], node, "DEL", asked)).toEqual({ exitCode: 0, stdout: "" });
  });
});
describe("ADD for a namespace that is not there", () => {
  const chained: [string, object][] = [
    ["tuning", { mtu: 1400 }],
    ["bandwidth", { egressRate: 8e6, egressBurst: 8e6, ingressRate: 8e6, ingressBurst: 8e6 }],
    ["sbr", {}],
  ];
  test.each(chained)("is refused by %s, and changes nothing", async (type, keys) => {
    const node = await Node.create();
    const { pod, call: callOf } = await wire(node);
    const before = await node.snapshot();
    const netns = `/run/netns/none-${pod.name}`;
    const own = { type, dataDir: join(node.dataDir, "tuning"), ...keys };
    const { error } = await node.podwire("ADD", callOf(own, { netns }));
    expect(error).toMatchObject({ code: 4, msg: expect.stringContaining("no network namespace is there") as unknown });
    expect([await node.snapshot(), existsSync(netns)]).toEqual([before, false]);
    await node.succeed("DEL", callOf(own, { netns }));
    expect(existsSync(netns)).toBe(false);
  });

  test.each<[string, (node: Node) => Config]>([
    ["bridge", bridge],
    ["ptp", ptp],
    ["macvlan", macvlan],
    ["tap", tap],
    ["host-device", (node) => hostDevice(node, { device: "uplink" })],
  ])("is refused by %s, and changes nothing", async (_what, make) => {
    const node = await Node.create();
    await node.outside();
    const before = await node.snapshot();
    for (const netns of ["/run/netns/no-such", "/etc/passwd"]) {
      const { error } = await node.podwire("ADD", await callFor(node, make(node), { netns }));
      expect(error).toMatchObject({ code: 4, msg: expect.stringContaining(netns) as unknown });
    }
    expect([await node.snapshot(), node.leases()]).toEqual([before, {}]);
  });
});
