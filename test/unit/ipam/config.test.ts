import { describe, expect, test } from "vitest";
import type { Invocation } from "../../../src/cni/invocation.ts";
import { quietLog } from "../../../src/cni/log.ts";
import { parseIpamConfig, parseLeaseFolder } from "../../../src/ipam/config.ts";
import { formatSet } from "../../../src/ipam/range.ts";
import { formatIp, formatPrefix } from "../../../src/net/ip.ts";

const call = (config: object, more: Partial<Invocation> = {}): Invocation => ({
  verb: "ADD",
  containerId: "c1",
  netns: "/run/netns/a",
  ifname: "eth0",
  args: "",
  path: "",
  netnsOverride: false,
  stdin: new Uint8Array(0),
  config: { cniVersion: "1.0.0", ...config },
  network: "net",
  cniVersion: "1.0.0",
  validAttachments: [],
  log: quietLog(),
  ...more,
});
const sets = (config: object): string[] => parseIpamConfig(call(config)).sets.map(formatSet);
const requests = (config: object, args = ""): string[] =>
  parseIpamConfig(call(config, { args })).requests.map(({ ip, from }) => `${from}: ${formatIp(ip)}`);
const one = { ranges: [[{ subnet: "10.9.0.0/24" }]] };

describe("range sets", () => {
  test("come from the runtime, then from the old keys, then from `ranges`; keys in any case", () => {
    const config = {
      RuntimeConfig: { ipRanges: [[{ subnet: "10.1.0.0/24" }]] },
      ipam: {
        SUBNET: "10.2.0.0/24",
        rangestart: "10.2.0.9",
        gateway: "",
        ranges: [
          [{ subnet: "10.3.0.0/24" }, { subnet: "10.4.0.0/24", rangeEnd: "10.4.0.7" }],
          [{ subnet: "fd00::/64" }],
        ],
      },
    };
    expect(sets(config)).toEqual([
      "10.1.0.1-10.1.0.254",
      "10.2.0.9-10.2.0.254",
      "10.3.0.1-10.3.0.254,10.4.0.1-10.4.0.7",
      "fd00::1-fd00::ffff:ffff:ffff:ffff",
    ]);
  });

  test("the old keys count only with `subnet`", () => {
    expect(sets({ ipam: { rangeStart: "10.2.0.9", gateway: "10.2.0.1", ...one } })).toEqual(["10.9.0.1-10.9.0.254"]);
  });
});

describe("other keys", () => {
  test("dataDir, resolvConf and routes", () => {
    const config = parseIpamConfig(
      call({
        ipam: {
          ...one,
          dataDir: "/data/",
          resolvConf: "/etc/r",
          routes: [
            { dst: "10.7.1.1/8", gw: "10.9.0.9", mtu: 1400, advmss: 1300, priority: 5, table: 0, scope: 0 },
            { dst: "::/0", gw: "" },
          ],
        },
      }),
    );
    expect([config.folder, config.resolvConf]).toEqual([{ dataDir: "/data", network: "net" }, "/etc/r"]);
    expect(
      config.routes.map(({ dst, gw, ...numbers }) => ({ dst: formatPrefix(dst), gw: gw && formatIp(gw), ...numbers })),
    ).toEqual([
      { dst: "10.7.1.1/8", gw: "10.9.0.9", mtu: 1400, advmss: 1300, priority: 5, table: 0, scope: 0 },
      { dst: "::/0", gw: undefined },
    ]);
    expect(parseIpamConfig(call({ ipam: one })).folder.dataDir).toBe("/var/lib/cni/networks");
  });

  test("requested addresses come from all three places, with or without a prefix length", () => {
    const config = {
      ipam: one,
      args: { cni: { ips: ["10.9.0.6/8", "::ffff:10.9.0.7"] } },
      runtimeConfig: { ips: ["fd00::8"] },
    };
    expect(requests(config, "IP=10.9.0.5/24;IgnoreUnknown=1;K8S_POD_NAME=x")).toEqual([
      "CNI_ARGS IP: 10.9.0.5",
      "args.cni.ips[0]: 10.9.0.6",
      "args.cni.ips[1]: 10.9.0.7",
      "runtimeConfig.ips[0]: fd00::8",
    ]);
    expect(requests({ ipam: one }, "IP=")).toEqual([]);
    expect(requests({ ipam: one, args: null, runtimeConfig: null })).toEqual([]);
  });
});

describe("errors", () => {
  test("name every wrong key, its value and what is allowed", () => {
    const config = {
      runtimeConfig: { ipRanges: [[{ subnet: "10.1.0.7/24" }]], ips: ["", null] },
      args: { cni: { ips: ["x"] } },
      ipam: {
        subnet: "10.2.0.0/31",
        ranges: [[{ subnet: "10.3.0.0/24", gateway: "fd00::1", rangeStart: "10.3.1.0" }, {}]],
        routes: [{ gw: "1" }],
        dataDir: 5,
      },
    };
    let message = "";
    try {
      parseIpamConfig(call(config));
    } catch (error) {
      expect(error).toMatchObject({ code: 7 });
      message = (error as Error).message;
    }
    for (const part of [
      `ipam.ranges[0][0].gateway is "fd00::1", must be an address of IPv4, as the subnet is`,
      `ipam.ranges[0][0].rangeStart is "10.3.1.0", must be inside the subnet 10.3.0.0/24`,
      "ipam.ranges[0][1].subnet is missing, must be an address with a prefix length",
      "ipam.routes[0].dst is missing",
      `ipam.routes[0].gw is "1", must be an IP address`,
      "ipam.dataDir is 5, must be a path",
      `runtimeConfig.ipRanges[0][0].subnet is "10.1.0.7/24", must not have host bits set: the network is 10.1.0.0/24`,
      `runtimeConfig.ips[0] is "", must be an IP address`,
      "runtimeConfig.ips[1] is null, must be an IP address",
      `args.cni.ips[0] is "x", must be an IP address`,
    ]) {
      expect(message).toContain(part);
    }
  });

  test.each<[string, object, string, string]>([
    ["no ipam", {}, "1.0.0", "ipam is missing, must be an object"],
    ["ipam null", { ipam: null }, "1.0.0", "ipam is missing, must be an object"],
    ["no ranges", { ipam: { ranges: [] } }, "1.0.0", "no IP ranges specified"],
    ["an empty set", { ipam: { ranges: [[]] } }, "1.0.0", "range set 0 is empty"],
    ["overlap of sets", { ipam: { subnet: "10.9.0.0/16", ...one } }, "1.0.0", "range set 0 overlaps with range set 1"],
    [
      "two of a family in an old version",
      { ipam: { subnet: "10.1.0.0/16", ...one } },
      "0.2.0",
      "CNI version 0.2.0 does not support more than 1 address per family",
    ],
    [
      "and without a version",
      { ipam: { subnet: "10.1.0.0/16", ...one } },
      "",
      "CNI version 0.1.0 does not support more than 1 address per family",
    ],
  ])("%s", (_name, config, cniVersion, message) => {
    expect(() => parseIpamConfig(call({ ...config, cniVersion }))).toThrow(
      expect.objectContaining({ code: 7, message: expect.stringContaining(message) as string }),
    );
  });

  test("two of a family are fine from 0.3.0", () => {
    expect(parseIpamConfig(call({ ipam: { subnet: "10.1.0.0/16", ...one }, cniVersion: "0.3.0" })).sets).toHaveLength(
      2,
    );
  });

  test.each(["IP=x", "IP", "IP=10.9.0.4;", "UNKNOWN=1"])("CNI_ARGS %s is the environment's fault", (args) => {
    expect(() => parseIpamConfig(call({ ipam: one }, { args }))).toThrow(expect.objectContaining({ code: 4 }));
  });
});

test.each<[object, string]>([
  [{ ipam: { dataDir: "/d", ranges: "nonsense" } }, "/d"],
  [{ IPAM: { DataDir: "/d//" }, args: 5 }, "/d"],
  [{ ipam: { dataDir: 5 } }, "/var/lib/cni/networks"],
  [{ ipam: 5 }, "/var/lib/cni/networks"],
  [{}, "/var/lib/cni/networks"],
])("removal finds the folder in %j", (config, dataDir) => {
  expect(parseLeaseFolder(call(config, { verb: "DEL", args: "nonsense" }))).toEqual({ dataDir, network: "net" });
});
