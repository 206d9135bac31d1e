import { describe, expect, test } from "vitest";
import { attach, callFor, type Config, dualStack, failure, hostLocal, macvlan, versions } from "./configs.ts";
import { type CniResult, type Namespace, Node, reference } from "./harness.ts";

const sbr = (prevResult: unknown, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "sbr",
  prevResult,
  ...more,
});

const wanted = [
  { dst: "10.77.0.0/16", gw: "10.9.0.7" },
  { dst: "2001:db8:7::/48", gw: "fd00:9::7" },
];

/** A pod with two links: `eth0` with the default route, and `net1`, which sbr is for. */
async function twoLinks(cniVersion = "1.1.0"): Promise<{
  node: Node;
  pod: Namespace;
  first: CniResult;
  second: CniResult;
  call: (more?: object) => Promise<Awaited<ReturnType<typeof callFor>>>;
}> {
  const node = await Node.create();
  await node.outside();
  await node.ip("link add second type veth peer name far");
  for (const line of ["link set second up", "link set far up"]) await node.ip(line);
  const { pod, result: first } = await attach(
    node,
    macvlan(node, { name: "one", ipam: hostLocal(node, { subnet: "10.8.0.0/24", routes: [{ dst: "0.0.0.0/0" }] }) }),
    { containerId: "pod" },
  );
  const { result: second } = await attach(
    node,
    macvlan(node, { name: "two", cniVersion, master: "second", ipam: dualStack(node, { routes: wanted }) }),
    { containerId: "pod", ifname: "net1", netns: pod },
  );
  const call = async (more: object = {}) =>
    callFor(node, sbr(second, { cniVersion, ...more }), { containerId: "pod", ifname: "net1", netns: pod });
  return { node, pod, first, second, call };
}

const tidy = (text: string): string[] =>
  text
    .trim()
    .split("\n")
    .map((line) => line.trim().replace(/ +/g, " "))
    .filter(Boolean)
    .sort();
const rules = async (pod: Namespace): Promise<string[]> =>
  [...tidy(await pod.ip("-4 rule show")), ...tidy(await pod.ip("-6 rule show"))]
    .filter((line) => /from (10|fd)/.test(line))
    .map((line) => line.replace(/^\d+:\s*/, ""));
const routes = async (pod: Namespace, family: 4 | 6, table: number | string = "main"): Promise<string[]> => {
  const { stdout } = await pod.run("ip", [`-${family}`, "route", "show", "table", `${table}`]);
  return tidy(stdout)
    .map((line) => line.replace(/ (linkdown|pref medium|proto \w+)/g, ""))
    .filter((line) => !line.startsWith("fe80"));
};

describe("sbr", () => {
  test("sends what comes from an address of the link by that link, through a table of its own", async () => {
    const { node, pod, second, call } = await twoLinks();
    const { result } = await node.succeed("ADD", await call());
    expect(result).toEqual(second);
    expect(await rules(pod)).toEqual(["from 10.9.0.2 lookup 100", "from fd00:9::2 lookup 101"]);
    expect(await routes(pod, 4, 100)).toEqual([
      "10.77.0.0/16 via 10.9.0.7 dev net1",
      "10.9.0.0/24 dev net1 scope link src 10.9.0.2",
      "default via 10.9.0.1 dev net1",
    ]);
    expect(await routes(pod, 6, 101)).toEqual([
      "2001:db8:7::/48 via fd00:9::7 dev net1 metric 1024",
      "default via fd00:9::1 dev net1 metric 1024",
      "fd00:9::/64 dev net1 metric 256",
    ]);
    expect(await routes(pod, 6, 100)).toEqual([]);
    expect(await routes(pod, 4)).toEqual([
      "10.8.0.0/24 dev eth0 scope link src 10.8.0.2",
      "default via 10.8.0.1 dev eth0",
    ]);
    expect(await routes(pod, 6)).toEqual([]);
    // link-local traffic has other sources
    expect(await pod.ip("-6 route show dev net1")).toContain("fe80::/64");
    expect(await pod.ip("route get 1.1.1.1 from 10.9.0.2")).toMatch(/via 10\.9\.0\.1 dev net1/);
    expect(await pod.ip("route get 1.1.1.1 from 10.8.0.2")).toMatch(/via 10\.8\.0\.1 dev eth0/);
  });

  test("CHECK says what is missing; DEL brings the routes back, so that ADD works again; DEL twice, and without namespace", async () => {
    const { node, pod, call } = await twoLinks();
    const before = [await rules(pod), await routes(pod, 4), await routes(pod, 6)];
    const check = async (): Promise<string> => {
      const { exitCode, error } = await node.podwire("CHECK", await call());
      return exitCode === 0 ? "" : error!.msg;
    };
    for (const gone of [{ prevResult: undefined }, {}]) {
      await node.succeed("ADD", await call());
      expect(await check()).toBe("");
      await pod.ip("route delete default table 100");
      expect(await check()).toMatch(/default route via 10\.9\.0\.1 is missing in table 100/);
      await pod.ip("rule delete from 10.9.0.2 table 100");
      expect(await check()).toMatch(/rule from 10\.9\.0\.2 is missing/);
      await pod.ip("rule add from 10.9.0.2 table 100");
      for (let times = 0; times < 2; times++) await node.succeed("DEL", await call(gone));
      expect([await rules(pod), await routes(pod, 4), await routes(pod, 6)]).toEqual(before);
    }
    for (const netns of ["", "/run/netns/no-such"]) await node.succeed("DEL", { ...(await call()), netns });
    expect((await node.run("ls", ["/run/netns/no-such"])).exitCode).not.toBe(0);
  });

  test("an unspecified gateway is none: the default route of the table is on the link", async () => {
    const { node, pod, second, call } = await twoLinks();
    const before = [await rules(pod), await routes(pod, 4), await routes(pod, 6)];
    const ips = second.ips!.map((ip) => ({ ...ip, gateway: ip.address.includes(":") ? "::" : "0.0.0.0" }));
    const to = await call({ prevResult: { ...second, ips } });
    for (const own of [[], ["-4 route add default dev net1 metric 7", "-6 route add default dev net1 metric 7"]]) {
      for (const line of own) await pod.ip(line);
      await node.succeed("ADD", to);
      expect(await routes(pod, 4, 100)).toContainEqual(expect.stringMatching(/^default dev net1/));
      expect(await routes(pod, 6, 101)).toContainEqual(expect.stringMatching(/^default dev net1/));
      await node.succeed("CHECK", to);
      await node.succeed("DEL", to);
    }
    for (const family of [4, 6]) await pod.ip(`-${family} route delete default dev net1`);
    expect([await rules(pod), await routes(pod, 4), await routes(pod, 6)]).toEqual(before);
  });

  test("CHECK of the plugin before finds its routes in the tables they went to, and says which is gone", async () => {
    const { node, pod, second, call } = await twoLinks();
    await node.succeed("ADD", await call());
    const config = macvlan(node, {
      name: "two",
      master: "second",
      ipam: dualStack(node, { routes: wanted }),
      prevResult: second,
    });
    const check = async (): Promise<string> => {
      const { exitCode, error } = await node.podwire("CHECK", { ...(await call()), plugin: "macvlan", config });
      return exitCode === 0 ? "" : error!.msg;
    };
    expect(await check()).toBe("");
    await pod.ip("route delete 10.77.0.0/16 table 100");
    expect(await check()).toMatch(/route 10\.77\.0\.0\/16 via 10\.9\.0\.7 through net1 is missing$/);
    await pod.ip("-6 route delete 2001:db8:7::/48 table 101");
    expect(await check()).toMatch(/; route 2001:db8:7::\/48 via fd00:9::7 through net1 is missing$/);
  });

  test("passes over tables that a rule or a route has", async () => {
    const { node, pod, call } = await twoLinks();
    await pod.ip("route add 10.66.0.0/16 dev eth0 table 100");
    await pod.ip("rule add from 10.66.0.1 table 101");
    await node.succeed("ADD", await call());
    expect(await rules(pod)).toEqual(expect.arrayContaining(["from 10.9.0.2 lookup 102", "from fd00:9::2 lookup 103"]));
  });

  test.each([1000, 0xffff_ffff])("with table %d it makes rules alone, and DEL removes those alone", async (table) => {
    const { node, pod, call } = await twoLinks();
    const before = [await routes(pod, 4), await routes(pod, 6)];
    await pod.ip("rule add from 10.9.0.2 table 500");
    await node.succeed("ADD", await call({ table }));
    expect(await rules(pod)).toEqual(
      expect.arrayContaining([`from 10.9.0.2 lookup ${table}`, `from fd00:9::2 lookup ${table}`]),
    );
    expect([await routes(pod, 4), await routes(pod, 6)]).toEqual(before);
    await node.succeed("CHECK", await call({ table }));
    await node.succeed("DEL", await call({ table }));
    expect(await rules(pod)).toEqual(["from 10.9.0.2 lookup 500"]);
  });

  test("a second ADD without a DEL between adds nothing, with and without table", async () => {
    const { node, pod, second, call } = await twoLinks();
    const seen = async (): Promise<unknown> => [
      await rules(pod),
      await Promise.all(["main", 100, 101, 102, 103].map(async (table) => routes(pod, 4, table))),
      await Promise.all(["main", 100, 101, 102, 103].map(async (table) => routes(pod, 6, table))),
    ];
    for (const more of [{}, { table: 1000 }]) {
      const before = await seen();
      await node.succeed("ADD", await call(more));
      const once = await seen();
      expect(once).not.toEqual(before);
      const { result } = await node.succeed("ADD", await call(more));
      expect(result).toEqual(second);
      expect(await seen()).toEqual(once);
      await node.succeed("CHECK", await call(more));
      await node.succeed("DEL", await call(more));
      expect(await seen()).toEqual(before);
    }
  });

  test("a failed ADD leaves nothing", async () => {
    const { node, pod, call } = await twoLinks();
    await pod.ip("link set net1 down");
    const before = [await rules(pod), await routes(pod, 4), await routes(pod, 6)];
    expect(failure(await node.podwire("ADD", await call())).msg).toMatch(/route .*net1/);
    expect([await rules(pod), await routes(pod, 4), await routes(pod, 6)]).toEqual(before);
    expect(await routes(pod, 4, 100)).toEqual([]);
  });

  test.each(["podwire", ...(reference.newest ? ["reference"] : [])] as ("podwire" | "reference")[])(
    "with a table, for addresses of other interfaces alone, changes nothing, by %s",
    async (by) => {
      const { node, pod, first, call } = await twoLinks();
      const before = [await rules(pod), await routes(pod, 4), await routes(pod, 6)];
      const others = await call({ prevResult: first, table: 100 });
      const { result, exitCode } = await node[by]("ADD", others);
      expect([exitCode, result]).toEqual([0, first]);
      for (const verb of ["CHECK", "DEL"] as const) expect((await node[by](verb, others)).stdout).toBe("");
      expect([await rules(pod), await routes(pod, 4), await routes(pod, 6)]).toEqual(before);
    },
  );

  test("for addresses of other interfaces alone leaves the interface its routes, which the reference deletes", async () => {
    const { node, pod, first, call } = await twoLinks();
    const before = [await rules(pod), await routes(pod, 4), await routes(pod, 6)];
    const others = await call({ prevResult: first });
    expect((await node.succeed("ADD", others)).result).toEqual(first);
    for (const verb of ["CHECK", "DEL"] as const) await node.succeed(verb, others);
    expect([await rules(pod), await routes(pod, 4), await routes(pod, 6)]).toEqual(before);
  });

  test.each<[string, (result: CniResult) => object, number, RegExp]>([
    ["table", () => ({ table: "x" }), 7, /table is "x"/],
    ["no prevResult", () => ({ prevResult: undefined }), 7, /prevResult is missing: sbr must be called after/],
    [
      "no address of the interface",
      (result) => ({ prevResult: { ...result, ips: [] } }),
      7,
      /none is of interface net1/,
    ],
  ])("refuses %s", async (_what, more, code, message) => {
    const { node, second, call } = await twoLinks();
    expect(failure(await node.podwire("ADD", await call(more(second))))).toMatchObject({
      code,
      msg: expect.stringMatching(message) as unknown,
    });
  });

  test.runIf(reference.newest).each(versions)(
    "result, rules and the IPv4 side are the reference's, route for route: %s",
    async (version) => {
      const seen = await Promise.all(
        (["podwire", "reference"] as const).map(async (by) => {
          const { node, pod, call } = await twoLinks(version);
          const added = await node[by]("ADD", await call());
          // what differs from pod to pod
          const printed = added.stdout.replaceAll(pod.path, "POD").replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC");
          const steps = [JSON.parse(printed), await rules(pod), await routes(pod, 4), await routes(pod, 4, 100)];
          const removed = await node[by]("DEL", await call());
          return [...steps, [added.exitCode, removed.exitCode, removed.stdout], await rules(pod)];
        }),
      );
      expect(seen[0]).toEqual(seen[1]);
    },
  );
});
