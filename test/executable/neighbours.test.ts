import { describe, expect, test } from "vitest";
import { attach, type Attached, bridge, type Config, dualStack, ptp } from "./configs.ts";
import { Node } from "./harness.ts";

const kinds: [string, (node: Node) => Config][] = [
  ["bridge", (node) => bridge(node, { isDefaultGateway: true, ipam: dualStack(node) })],
  ["ptp", (node) => ptp(node, { ipam: dualStack(node) })],
  ["ptp, link-local", (node) => ptp(node, { gatewayMode: "link-local", ipam: dualStack(node) })],
];

/** Who has an old MAC in the table of neighbours doubts it after five seconds at the earliest. */
const AT_ONCE = { timeoutS: 4 };

interface Neighbour {
  dst: string;
  lladdr?: string;
}

/**
 * A pod that goes while host and another pod know its MAC, and one with its addresses and another MAC right after it.
 */
async function replaced(node: Node, config: Config): Promise<{ other: Attached; fresh: Attached }> {
  await node.ip("address add 192.168.7.7/32 dev lo");
  const other = await attach(node, config);
  const old = await attach(node, config);
  for (const ip of [old.ip4, old.ip6]) expect([await node.ping(ip), await other.pod.ping(ip)]).toEqual([true, true]);
  await node.succeed("DEL", old.call);
  const fresh = await attach(node, config, { args: `IP=${old.ip4}` });
  expect(fresh.mac).not.toBe(old.mac);
  return { other, fresh };
}

describe("an address", () => {
  describe.each(kinds)("%s", (_kind, config) => {
    // without `ip6` host-local would hand out the next address; the last one is the only one left of its range
    const reusing = (node: Node): Config => {
      const made = config(node);
      return {
        ...made,
        ipam: {
          ...(made.ipam as object),
          ranges: [
            [{ subnet: "10.9.0.0/24" }],
            [{ subnet: "fd00:9::/64", rangeStart: "fd00:9::2", rangeEnd: "fd00:9::3" }],
          ],
        },
      };
    };

    test("is taken in, and so are its neighbours' questions, when ADD returns", async () => {
      const node = await Node.create();
      const { pod, ip6 } = await attach(node, config(node));
      const local = (await pod.routes(6, "local")).filter(({ dev }) => dev === "eth0").map(({ dst }) => dst);
      expect(local).toEqual(expect.arrayContaining([ip6, "ff00::/8"]));
    });

    test("that was another pod's is reached at once by the host and by others, in both families", async () => {
      const node = await Node.create();
      const { other, fresh } = await replaced(node, reusing(node));
      const replies = await Promise.all(
        [fresh.ip4, fresh.ip6].flatMap((ip) => [node.ping(ip, AT_ONCE), other.pod.ping(ip, AT_ONCE)]),
      );
      expect(replies).toEqual([true, true, true, true]);
    });
  });

  /** An announcement that was sent may be on its way where the machine is busy. */
  const ARRIVAL_MS = 4000;

  test("nobody on the bridge remembers the old MAC when ADD returns", async () => {
    const node = await Node.create();
    const config = bridge(node, {
      isGateway: true,
      ipam: dualStack(node, {
        ranges: [
          [{ subnet: "10.9.0.0/24" }],
          [{ subnet: "fd00:9::/64", rangeStart: "fd00:9::2", rangeEnd: "fd00:9::3" }],
        ],
      }),
    });
    const { other, fresh } = await replaced(node, config);
    for (const namespace of [node, other.pod]) {
      const oldMacs = async (): Promise<string[]> =>
        (await namespace.ipJson<Neighbour[]>("neighbour show"))
          .filter(({ dst }) => [fresh.ip4, fresh.ip6].includes(dst))
          .flatMap(({ lladdr }) => lladdr ?? [])
          .filter((mac) => mac !== fresh.mac);
      await expect.poll(oldMacs, { timeout: ARRIVAL_MS }).toEqual([]);
    }
  });

  test("has what the host held for it dropped, even an entry no announcement changes", async () => {
    const node = await Node.create();
    const config = bridge(node, { isGateway: true, ipam: dualStack(node) });
    await attach(node, config);
    for (const ip of ["10.9.0.3", "fd00:9::3"]) {
      await node.ip(`neighbour add ${ip} lladdr 02:00:00:00:00:99 dev br0 nud permanent`);
    }
    const { ip4, ip6 } = await attach(node, config);
    expect([await node.ping(ip4, AT_ONCE), await node.ping(ip6, AT_ONCE)]).toEqual([true, true]);
  });

  test("pods announce their addresses: arp_notify and ndisc_notify are on", async () => {
    const node = await Node.create();
    const { pod } = await attach(node, kinds[0]![1](node));
    expect([
      await pod.sysctl("net/ipv4/conf/eth0/arp_notify"),
      await pod.sysctl("net/ipv6/conf/eth0/ndisc_notify"),
    ]).toEqual(["1", "1"]);
  });
});
