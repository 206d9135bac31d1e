import { describe, expect, test } from "vitest";
import type { Route } from "../../../src/attachment/attachment.ts";
import { formatIp, formatPrefix } from "../../../src/net/ip.ts";
import { bridgeOf, ip, lease, part, prefix, ptpOf, subject } from "./plans.ts";

const dual = lease([
  ["10.9.0.2/24", "10.9.0.1"],
  ["fd00:9::2/64", "fd00:9::1"],
]);
/** A route in the words of `ip route`. */
const words = ({ dst, gw, src, scope, onlink }: Route): string =>
  [
    formatPrefix(dst),
    gw && `via ${formatIp(gw)}`,
    src && `src ${formatIp(src)}`,
    scope && `scope ${scope}`,
    onlink && "onlink",
  ]
    .filter(Boolean)
    .join(" ");

describe("a bridge attachment as data", () => {
  test("of the smallest configuration", () => {
    const { attachment, ips, routes } = bridgeOf({}, lease([["10.9.0.2/24", "10.9.0.1"]]));
    expect({ ips, routes }).toEqual({
      ips: [{ address: prefix("10.9.0.2/24"), gateway: ip("10.9.0.1"), interface: 2 }],
      routes: [],
    });
    const { hostMac, podMac, bridgeMac } = subject;
    const optional = (path: string, value: string) => ({ path, value, optional: true });
    expect(attachment).toEqual({
      owner: subject.owner,
      netns: "/run/netns/one",
      parts: [
        { kind: "bridge", name: "cni0", mac: bridgeMac, vlanFiltering: false, promisc: false },
        {
          kind: "veth",
          host: { name: "veth1", mac: hostMac, sysctls: [optional("net/ipv6/conf/veth1/accept_ra", "0")] },
          pod: { name: "eth0", mac: podMac },
          up: true,
          plug: { bridge: "cni0", hairpin: false, isolated: false },
        },
        { kind: "host", addresses: [], routes: [], forwarding: [] },
        {
          kind: "pod",
          link: { name: "eth0", mac: podMac },
          up: true,
          sysctls: [
            optional("net/ipv6/conf/eth0/accept_ra", "0"),
            optional("net/ipv6/conf/eth0/accept_dad", "0"),
            optional("net/ipv6/conf/eth0/ndisc_notify", "1"),
            optional("net/ipv4/conf/eth0/arp_notify", "1"),
          ],
          addresses: [{ prefix: prefix("10.9.0.2/24"), dad: false }],
          routes: [],
          neighbours: [],
        },
      ],
    });
  });

  test("of one with every switch on", () => {
    const plan = bridgeOf(
      {
        isDefaultGateway: true,
        ipMasq: true,
        macspoofchk: true,
        hairpinMode: true,
        portIsolation: true,
        promiscMode: true,
        forceAddress: true,
        mtu: 1400,
        enabledad: true,
        capabilities: { portMappings: true },
      },
      dual,
    );
    expect(plan.attachment.parts.map(({ kind }) => kind)).toEqual([
      "bridge",
      "veth",
      "host",
      "pod",
      "gateways",
      "masquerade",
      "spoofCheck",
      "ports",
    ]);
    expect(part(plan, "bridge")).toMatchObject({ mtu: 1400, promisc: true });
    expect(part(plan, "veth")).toMatchObject({ mtu: 1400, plug: { hairpin: true, isolated: true } });
    expect(part(plan, "gateways")).toMatchObject({
      force: true,
      addresses: [prefix("10.9.0.1/24"), prefix("fd00:9::1/64")],
    });
    expect(part(plan, "host").forwarding).toEqual([4, 6]);
    expect(part(plan, "masquerade")).toEqual({
      kind: "masquerade",
      backend: "nftables",
      addresses: [prefix("10.9.0.2/24"), prefix("fd00:9::2/64")],
    });
    expect(part(plan, "spoofCheck")).toEqual({ kind: "spoofCheck", mac: subject.podMac });
    const pod = part(plan, "pod");
    expect(pod).toMatchObject({ addresses: [{ dad: true }, { dad: true }] });
    expect(pod.routes.map(words)).toEqual(["0.0.0.0/0 via 10.9.0.1", "::/0 via fd00:9::1"]);
    expect(pod.sysctls).toContainEqual({ path: "net/ipv6/conf/eth0/accept_dad", value: "1", optional: true });
  });

  test("gateway keys mean nothing without addresses, and there is nothing to masquerade", () => {
    const plan = bridgeOf({ isDefaultGateway: true, ipMasq: true }, lease([]));
    expect(plan.attachment.parts.map(({ kind }) => kind)).toEqual(["bridge", "veth", "host", "pod", "masquerade"]);
    expect([part(plan, "host").forwarding, part(plan, "masquerade").addresses, part(plan, "pod").sysctls]).toEqual([
      [],
      [],
      [],
    ]);
  });

  test("default routes: one per family, only where IPAM brought none, with the gateway filled in", () => {
    const planned = (routes: Route[]): string[] =>
      part(bridgeOf({ isDefaultGateway: true }, { ...dual, routes }), "pod").routes.map(words);
    expect(planned([{ dst: prefix("0.0.0.0/0") }])).toEqual(["0.0.0.0/0 via 10.9.0.1", "::/0 via fd00:9::1"]);
    expect(planned([{ dst: prefix("::/0"), gw: ip("fd00:9::7") }])).toEqual([
      "::/0 via fd00:9::7",
      "0.0.0.0/0 via 10.9.0.1",
    ]);
    expect(planned([{ dst: prefix("0.0.0.0/0") }, { dst: prefix("0.0.0.0/0"), gw: ip("10.9.0.1") }])).toEqual([
      "0.0.0.0/0 via 10.9.0.1",
      "::/0 via fd00:9::1",
    ]);
  });

  test("routes lose host bits, and those of link scope get no gateway", () => {
    const routes = [{ dst: prefix("1.2.3.4/8") }, { dst: prefix("10.77.0.0/16"), scope: 253 }];
    expect(part(bridgeOf({}, { ...dual, routes }), "pod").routes.map(words)).toEqual([
      "1.0.0.0/8 via 10.9.0.1",
      "10.77.0.0/16 scope 253",
    ]);
  });

  test("a gateway IPAM left open is the first address of the subnet", () => {
    expect(bridgeOf({ isGateway: true }, lease([["10.9.0.70/28", ""]])).ips).toEqual([
      { address: prefix("10.9.0.70/28"), gateway: ip("10.9.0.65"), interface: 2 },
    ]);
    expect(bridgeOf({}, lease([["10.9.0.70/28", ""]])).ips).toEqual([
      { address: prefix("10.9.0.70/28"), interface: 2 },
    ]);
  });
});

describe("a point-to-point attachment as data", () => {
  test("in the reference's form", () => {
    const plan = ptpOf({ ipMasq: true }, { ...dual, routes: [{ dst: prefix("0.0.0.0/0") }] });
    const [pod, host] = [part(plan, "pod"), part(plan, "host")];
    expect(plan.ips.map((one) => one.interface)).toEqual([1, 1]);
    expect(plan.attachment.parts.map(({ kind }) => kind)).toEqual(["veth", "host", "pod", "masquerade"]);
    expect(pod.routes.map(words)).toEqual([
      "10.9.0.1/32 src 10.9.0.2 scope 253",
      "fd00:9::1/128 src fd00:9::2",
      "10.9.0.0/24 via 10.9.0.1 src 10.9.0.2",
      "fd00:9::/64 via fd00:9::1 src fd00:9::2",
      "0.0.0.0/0 via 10.9.0.1",
    ]);
    expect(pod.addresses).toMatchObject([{ noPrefixRoute: true }, { noPrefixRoute: true }]);
    expect(host.addresses).toEqual([{ prefix: prefix("10.9.0.1/32") }, { prefix: prefix("fd00:9::1/128") }]);
    expect(host.routes.map(words)).toEqual(["10.9.0.2/32 scope 254", "fd00:9::2/128"]);
    expect(host.forwarding).toEqual([4, 6]);
  });

  test("with link-local gateways", () => {
    const plan = ptpOf(
      { gatewayMode: "link-local", ipMasq: true },
      { ...dual, routes: [{ dst: prefix("0.0.0.0/0") }, { dst: prefix("10.201.0.0/16"), gw: ip("10.9.0.1") }] },
    );
    const { ips, routes } = plan;
    const [pod, host] = [part(plan, "pod"), part(plan, "host")];
    // the modified EUI-64 of 02:00:00:00:00:01
    const gateway6 = "fe80::ff:fe00:1";
    expect(ips.map(({ address, gateway }) => `${formatPrefix(address)} ${formatIp(gateway!)}`)).toEqual([
      "10.9.0.2/32 169.254.1.1",
      `fd00:9::2/128 ${gateway6}`,
    ]);
    expect(routes.map(words)).toEqual([
      "0.0.0.0/0 via 169.254.1.1",
      `::/0 via ${gateway6}`,
      "10.201.0.0/16 via 10.9.0.1",
    ]);
    expect(pod.routes.map(words)).toEqual([
      "169.254.1.1/32 scope 253",
      "0.0.0.0/0 via 169.254.1.1",
      `::/0 via ${gateway6}`,
      "10.201.0.0/16 via 10.9.0.1 onlink",
    ]);
    expect(pod.neighbours).toEqual([
      { ip: ip("169.254.1.1"), mac: subject.hostMac },
      { ip: ip(gateway6), mac: subject.hostMac },
    ]);
    expect(host.routes.map(words)).toEqual(["10.9.0.2/32 scope 253", "fd00:9::2/128"]);
    expect(host.addresses).toEqual([{ prefix: prefix(`${gateway6}/64`) }]);
    expect(part(plan, "veth").host.sysctls).toContainEqual({ path: "net/ipv4/conf/veth1/proxy_arp", value: "1" });
    // the masquerade spares the subnet the lease is of, not the single address
    expect(part(plan, "masquerade").addresses.map(formatPrefix)).toEqual(["10.9.0.2/24", "fd00:9::2/64"]);
  });

  test("an address without a gateway is refused by name", () => {
    expect(() => ptpOf({}, lease([["10.9.0.5/24", ""]]))).toThrow(/gateway for 10\.9\.0\.5\/24/);
  });
});
