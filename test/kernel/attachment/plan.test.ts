import { describe, expect, test } from "vitest";
import type { Route } from "../../../src/attachment/attachment.ts";
import { formatIp, formatPrefix } from "../../../src/net/ip.ts";
import { bridgeOf, ip, lease, prefix, ptpOf, subject } from "./plans.ts";

const dual = lease([["10.9.0.2/24", "10.9.0.1"], ["fd00:9::2/64", "fd00:9::1"]]);
/** A route in the words of `ip route`. */
const words = ({ dst, gw, src, scope, onlink }: Route): string =>
  [formatPrefix(dst), gw && `via ${formatIp(gw)}`, src && `src ${formatIp(src)}`, scope && `scope ${scope}`, onlink && "onlink"].filter(Boolean).join(" ");

describe("a bridge attachment as data", () => {
  test("of the smallest configuration", () => {
    const { attachment, ips, routes } = bridgeOf({}, lease([["10.9.0.2/24", "10.9.0.1"]]));
    expect({ ips, routes }).toEqual({ ips: [{ address: prefix("10.9.0.2/24"), gateway: ip("10.9.0.1"), interface: 2 }], routes: [] });
    expect(attachment).toEqual({
      owner: subject.owner,
      netns: "/run/netns/one",
      veth: { host: { name: "veth1", mac: "02:00:00:00:00:01" }, pod: { name: "eth0", mac: "02:00:00:00:00:02" } },
      bridge: { name: "cni0", mac: "02:00:00:00:00:03", vlanFiltering: false, promisc: false, addresses: [], forceAddress: false, port: { hairpin: false, isolated: false } },
      pod: {
        up: true,
        sysctls: [
          { path: "net/ipv6/conf/eth0/accept_ra", value: "0", optional: true },
          { path: "net/ipv6/conf/eth0/accept_dad", value: "0", optional: true },
          { path: "net/ipv6/conf/eth0/ndisc_notify", value: "1", optional: true },
          { path: "net/ipv4/conf/eth0/arp_notify", value: "1", optional: true },
        ],
        addresses: [{ prefix: prefix("10.9.0.2/24"), dad: false }],
        routes: [],
        neighbours: [],
      },
      host: { forwarding: [], sysctls: [{ path: "net/ipv6/conf/veth1/accept_ra", value: "0", optional: true }], addresses: [], routes: [] },
      firewall: {},
    });
  });

  test("of one with every switch on", () => {
    const { attachment } = bridgeOf({ isDefaultGateway: true, ipMasq: true, macspoofchk: true, hairpinMode: true, portIsolation: true, promiscMode: true, forceAddress: true, mtu: 1400, enabledad: true }, dual);
    expect(attachment).toMatchObject({
      veth: { mtu: 1400 },
      bridge: { mtu: 1400, promisc: true, forceAddress: true, addresses: [prefix("10.9.0.1/24"), prefix("fd00:9::1/64")], port: { hairpin: true, isolated: true } },
      pod: { addresses: [{ dad: true }, { dad: true }] },
      host: { forwarding: [4, 6] },
      firewall: { masquerade: { backend: "nftables", addresses: [prefix("10.9.0.2/24"), prefix("fd00:9::2/64")] }, spoofCheck: { mac: subject.podMac } },
    });
    expect(attachment.pod.routes.map(words)).toEqual(["0.0.0.0/0 via 10.9.0.1", "::/0 via fd00:9::1"]);
    expect(attachment.pod.sysctls).toContainEqual({ path: "net/ipv6/conf/eth0/accept_dad", value: "1", optional: true });
  });

  test("gateway keys mean nothing without addresses", () => {
    const { attachment } = bridgeOf({ isDefaultGateway: true, ipMasq: true }, lease([]));
    expect([attachment.bridge!.addresses, attachment.host.forwarding, attachment.firewall, attachment.pod.sysctls]).toEqual([[], [], {}, []]);
  });

  test("default routes: one per family, only where IPAM brought none, with the gateway filled in", () => {
    const planned = (routes: Route[]): string[] => bridgeOf({ isDefaultGateway: true }, { ...dual, routes }).attachment.pod.routes.map(words);
    expect(planned([{ dst: prefix("0.0.0.0/0") }])).toEqual(["0.0.0.0/0 via 10.9.0.1", "::/0 via fd00:9::1"]);
    expect(planned([{ dst: prefix("::/0"), gw: ip("fd00:9::7") }])).toEqual(["::/0 via fd00:9::7", "0.0.0.0/0 via 10.9.0.1"]);
    expect(planned([{ dst: prefix("0.0.0.0/0") }, { dst: prefix("0.0.0.0/0"), gw: ip("10.9.0.1") }])).toEqual(["0.0.0.0/0 via 10.9.0.1", "::/0 via fd00:9::1"]);
  });

  test("routes lose host bits, and those of link scope get no gateway", () => {
    const routes = [{ dst: prefix("1.2.3.4/8") }, { dst: prefix("10.77.0.0/16"), scope: 253 }];
    expect(bridgeOf({}, { ...dual, routes }).attachment.pod.routes.map(words)).toEqual(["1.0.0.0/8 via 10.9.0.1", "10.77.0.0/16 scope 253"]);
  });

  test("a gateway IPAM left open is the first address of the subnet", () => {
    expect(bridgeOf({ isGateway: true }, lease([["10.9.0.70/28", ""]])).ips).toEqual([{ address: prefix("10.9.0.70/28"), gateway: ip("10.9.0.65"), interface: 2 }]);
    expect(bridgeOf({}, lease([["10.9.0.70/28", ""]])).ips).toEqual([{ address: prefix("10.9.0.70/28"), interface: 2 }]);
  });
});

describe("a point-to-point attachment as data", () => {
  test("in the reference's form", () => {
    const { attachment, ips } = ptpOf({ ipMasq: true }, { ...dual, routes: [{ dst: prefix("0.0.0.0/0") }] });
    expect(ips.map((one) => one.interface)).toEqual([1, 1]);
    expect(attachment.bridge).toBeUndefined();
    expect(attachment.pod.routes.map(words)).toEqual([
      "10.9.0.1/32 src 10.9.0.2 scope 253",
      "fd00:9::1/128 src fd00:9::2",
      "10.9.0.0/24 via 10.9.0.1 src 10.9.0.2",
      "fd00:9::/64 via fd00:9::1 src fd00:9::2",
      "0.0.0.0/0 via 10.9.0.1",
    ]);
    expect(attachment.pod.addresses).toMatchObject([{ noPrefixRoute: true }, { noPrefixRoute: true }]);
    expect(attachment.host.addresses).toEqual([{ prefix: prefix("10.9.0.1/32") }, { prefix: prefix("fd00:9::1/128") }]);
    expect(attachment.host.routes.map(words)).toEqual(["10.9.0.2/32 scope 254", "fd00:9::2/128"]);
    expect(attachment.host.forwarding).toEqual([4, 6]);
  });

  test("with link-local gateways", () => {
    const { attachment, ips, routes } = ptpOf({ gatewayMode: "link-local", ipMasq: true }, { ...dual, routes: [{ dst: prefix("0.0.0.0/0") }, { dst: prefix("10.201.0.0/16"), gw: ip("10.9.0.1") }] });
    // the modified EUI-64 of 02:00:00:00:00:01
    const gateway6 = "fe80::ff:fe00:1";
    expect(ips.map(({ address, gateway }) => `${formatPrefix(address)} ${formatIp(gateway!)}`)).toEqual(["10.9.0.2/32 169.254.1.1", `fd00:9::2/128 ${gateway6}`]);
    expect(routes.map(words)).toEqual(["0.0.0.0/0 via 169.254.1.1", `::/0 via ${gateway6}`, "10.201.0.0/16 via 10.9.0.1"]);
    expect(attachment.pod.routes.map(words)).toEqual(["169.254.1.1/32 scope 253", "0.0.0.0/0 via 169.254.1.1", `::/0 via ${gateway6}`, "10.201.0.0/16 via 10.9.0.1 onlink"]);
    expect(attachment.pod.neighbours).toEqual([{ ip: ip("169.254.1.1"), mac: subject.hostMac }, { ip: ip(gateway6), mac: subject.hostMac }]);
    expect(attachment.host.routes.map(words)).toEqual(["10.9.0.2/32 scope 253", "fd00:9::2/128"]);
    expect(attachment.host.addresses).toEqual([{ prefix: prefix(`${gateway6}/64`) }]);
    expect(attachment.host.sysctls).toContainEqual({ path: "net/ipv4/conf/veth1/proxy_arp", value: "1" });
    // the masquerade spares the subnet the lease is of, not the single address
    expect(attachment.firewall.masquerade!.addresses.map(formatPrefix)).toEqual(["10.9.0.2/24", "fd00:9::2/64"]);
  });

  test("an address without a gateway is refused by name", () => {
    expect(() => ptpOf({}, lease([["10.9.0.5/24", ""]]))).toThrow(/gateway for 10\.9\.0\.5\/24/);
  });
});
