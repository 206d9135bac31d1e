import { expect, test } from "vitest";
import { toRange } from "../../../src/ipam/range.ts";
import { planRequests, type Request } from "../../../src/ipam/requests.ts";
import { formatIp, parseIp, parsePrefix } from "../../../src/net/ip.ts";

const sets = [
  [toRange({ subnet: parsePrefix("10.9.0.0/24")! }), toRange({ subnet: parsePrefix("10.9.1.0/24")! })],
  [toRange({ subnet: parsePrefix("fd00:9::/64")! })],
];
const request = (text: string, from = "args.cni.ips[0]"): Request => ({ ip: parseIp(text)!, from });

test("each set gets the address asked for in it, wherever it was asked for, and the same one twice counts once", () => {
  const plan = planRequests(sets, [
    request("fd00:9::7"),
    request("10.9.1.5", "CNI_ARGS IP"),
    request("10.9.1.5", "runtimeConfig.ips[0]"),
  ]);
  expect(plan.map((ip) => ip && formatIp(ip))).toEqual(["10.9.1.5", "fd00:9::7"]);
  expect(planRequests(sets, [])).toEqual([undefined, undefined]);
});

test("everything that cannot be given is named, with the place it was asked for", () => {
  const ask = () =>
    planRequests(sets, [
      request("10.9.0.5"),
      request("10.9.0.6", "args.cni.ips[1]"),
      request("10.9.1.1", "runtimeConfig.ips[0]"),
      request("192.0.2.1", "CNI_ARGS IP"),
    ]);
  expect(ask).toThrow(
    expect.objectContaining({
      code: 7,
      message:
        "cannot give all requested addresses: args.cni.ips[1]: 10.9.0.6 is asked for besides another one of range set 0, which gives one address; " +
        "runtimeConfig.ips[0]: 10.9.1.1 is the subnet's gateway; " +
        "CNI_ARGS IP: 192.0.2.1 is in no range of the network (10.9.0.1-10.9.0.254,10.9.1.1-10.9.1.254; fd00:9::1-fd00:9::ffff:ffff:ffff:ffff)",
    }),
  );
});

test("where CNI_ARGS alone is wrong, the environment is", () => {
  expect(() => planRequests(sets, [request("10.9.0.1", "CNI_ARGS IP")])).toThrow(expect.objectContaining({ code: 4 }));
});
