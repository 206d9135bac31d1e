import { afterEach, describe, expect, test } from "vitest";
import { Nftables } from "../../../src/kernel/nftables/nftables.ts";
import { decodeTranslation } from "../../../src/netlink/nftables/translation.ts";
import { NFPROTO } from "../../../src/netlink/nftables/match.ts";
import { formatIp, ipFromBytes } from "../../../src/net/ip.ts";
import { sh } from "./node.ts";

afterEach(() => void sh("nft flush ruleset"));

/** What a rule of table ip or ip6, as nft puts it into the kernel, is read as: `protocol port [address] -> target`. */
function read(family: "ip" | "ip6", rule: string): string {
  const chain = rule.includes("snat")
    ? "type nat hook postrouting priority 0;"
    : "type nat hook prerouting priority 0;";
  sh(`nft -f - <<'END'
    table ${family} t {
      chain c {
        ${chain}
        ${rule}
      }
    }
END`);
  const rules = Nftables.use((nft) => nft.rules({ family: family === "ip" ? NFPROTO.IPV4 : NFPROTO.IPV6, name: "t" }));
  expect(rules).toHaveLength(1);
  const found = decodeTranslation(rules[0]!);
  if (!found) return "none";
  const address = found.address ? ` ${formatIp(ipFromBytes(found.address))}` : "";
  return `${found.protocol} ${found.port}${address} -> ${formatIp(ipFromBytes(found.target))}`;
}

describe("a rule that translates a port is read", () => {
  test.each([
    ["ip", "tcp dport 8080 dnat to 10.9.0.5:80", "6 8080 -> 10.9.0.5"],
    ["ip", "udp dport 53 counter dnat to 10.9.0.5:53", "17 53 -> 10.9.0.5"],
    ["ip", "ip daddr 192.0.2.1 sctp dport 9 dnat to 10.9.0.5", "132 9 192.0.2.1 -> 10.9.0.5"],
    ["ip6", "tcp dport 8080 dnat to [fd00:9::5]:80", "6 8080 -> fd00:9::5"],
    ["ip6", "ip6 daddr 2001:db8::1 tcp dport 8080 dnat to [fd00:9::5]:80", "6 8080 2001:db8::1 -> fd00:9::5"],
  ] as const)("%s: %s", (family, rule, expected) => {
    expect(read(family, rule)).toBe(expected);
  });
});

describe("a rule of another form is none", () => {
  test.each([
    ["ip", "tcp sport 8080 dnat to 10.9.0.5:80"],
    ["ip", "ip saddr 192.0.2.1 tcp dport 8080 dnat to 10.9.0.5:80"],
    ["ip", "ip daddr 192.0.0.0/8 tcp dport 8080 dnat to 10.9.0.5:80"],
    ["ip", "ip daddr != 192.0.2.1 tcp dport 8080 dnat to 10.9.0.5:80"],
    ["ip", "tcp dport != 8080 dnat to 10.9.0.5:80"],
    ["ip", "tcp dport { 8080, 8081 } dnat to 10.9.0.5:80"],
    ["ip", 'iifname "eth0" tcp dport 8080 dnat to 10.9.0.5:80'],
    ["ip", "tcp dport 8080 redirect to :80"],
    ["ip", "tcp dport 8080 accept"],
    ["ip", "tcp dport 8080 snat to 10.9.0.5"],
    ["ip", "ip protocol tcp dnat to 10.9.0.5"],
    ["ip", "dnat to 10.9.0.5"],
    ["ip6", "ip6 saddr 2001:db8::1 tcp dport 8080 dnat to [fd00:9::5]:80"],
    ["ip6", "ip6 daddr 2001:db8::/64 tcp dport 8080 dnat to [fd00:9::5]:80"],
  ] as const)("%s: %s", (family, rule) => {
    expect(read(family, rule)).toBe("none");
  });
});
