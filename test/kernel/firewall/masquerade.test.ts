import { beforeEach, describe, expect, test } from "vitest";
import type { MasqueradePart, Owner } from "../../../src/attachment/attachment.ts";
import { parsePrefix } from "../../../src/net/ip.ts";
import { elements, nftObjects, ns, ruleset, sh, succeeds } from "./node.ts";
import { apply, assertTools, collect as collectParts, compare, remove as removeParts, statusOf } from "./parts.ts";

const owner = (containerId: string, network = "kindnet"): Owner => ({ network, containerId, ifname: "eth0" });
const masquerading = (...addresses: string[]): MasqueradePart => ({
  kind: "masquerade",
  backend: "nftables",
  addresses: addresses.map((text) => parsePrefix(text)!),
});
/** By the addresses of `part`, or without knowing any. */
const remove = (who: Owner, part?: MasqueradePart) =>
  removeParts(
    "masquerade",
    who,
    (part?.addresses ?? []).map(({ ip }) => ip),
    masquerading(),
  );
const collect = (valid: { containerId: string; ifname: string }[]) => collectParts("masquerade", "kindnet", valid);

const jump = (chain: string) => ({ jump: { target: chain } });
const dual = masquerading("10.244.0.5/24", "fd00:10:244::5/64");

beforeEach(() => {
  sh("nft flush ruleset");
});

describe("masquerading by nftables", () => {
  test("is one element per address, that jumps to the chain of its subnet", () => {
    assertTools(masquerading());
    assertTools(dual);
    apply(owner("c1"), dual);
    expect(elements("masquerade4")).toEqual([
      { key: "10.244.0.5", comment: "kindnet c1 eth0", value: jump("masq-kindnet-10.244.0.0/24") },
    ]);
    expect(elements("masquerade6")).toEqual([
      { key: "fd00:10:244::5", comment: "kindnet c1 eth0", value: jump("masq-kindnet-fd00_10_244__/64") },
    ]);
    const rules = ruleset()
      .split("\n")
      .map((line) => line.trim());
    for (const rule of [
      "type nat hook postrouting priority srcnat; policy accept;",
      "ip saddr vmap @masquerade4",
      "ip6 saddr vmap @masquerade6",
      "ip daddr 10.244.0.0/24 return",
      "ip daddr 224.0.0.0/4 return",
      "ip6 daddr fd00:10:244::/64 return",
      "ip6 daddr ff00::/8 return",
      "masquerade",
    ]) {
      expect(rules).toContain(rule);
    }
    expect(compare(owner("c1"), dual)).toEqual([]);
  });

  test.each([
    "10.0.0.1/8",
    "10.1.2.3/20",
    "10.1.2.3/32",
    "10.1.2.3/0",
    "fd00::1/7",
    "fd00::1/61",
    "fd00::1/128",
    "fd00::1/0",
  ])("knows subnets of every length: %s", (address) => {
    const firewall = masquerading(address);
    apply(owner("c1"), firewall);
    expect(compare(owner("c1"), firewall)).toEqual([]);
    const chain = nftObjects("chain").find(({ name }) => String(name).startsWith("masq-"))!.name as string;
    expect(nftObjects("rule").filter((rule) => rule.chain === chain)).toHaveLength(3);
    const listed = ruleset();
    const subnet = chain
      .slice("masq-kindnet-".length)
      .replaceAll("_", ":")
      .replace(/\/(32|128)$/, "");
    if (!address.endsWith("/0")) expect(listed).toContain(`daddr ${subnet} return`);
  });

  test("changes nothing but elements when another pod comes and goes", () => {
    apply(owner("c1"), dual);
    const before = ruleset();
    const other = masquerading("10.244.0.6/24");
    const undo = apply(owner("c2"), other);
    expect(elements("masquerade4").map(({ key }) => key)).toEqual(["10.244.0.5", "10.244.0.6"]);
    undo();
    expect(ruleset()).toBe(before);
  });

  test("can be listed by nft and loaded again, with the longest names", () => {
    const long: Owner = { network: "n".repeat(120), containerId: "c".repeat(130), ifname: 'a"b\\%é' };
    apply(long, dual);
    const listed = ruleset();
    sh(`nft flush ruleset; nft -f - <<'END'\n${listed}\nEND`);
    expect(ruleset()).toBe(listed);
    expect(compare(long, dual)).toEqual([]);
    remove(long);
    expect(elements("masquerade4")).toEqual([]);
  });

  test("takes over the address of a pod that is gone, whole and at once", () => {
    apply(owner("gone"), dual);
    apply(owner("c2"), dual);
    expect(elements("masquerade4").map(({ comment }) => comment)).toEqual(["kindnet c2 eth0"]);
    expect(compare(owner("gone"), dual)).toEqual([
      'nftables table podwire: 10.244.0.5 in map masquerade4 belongs to "kindnet c2 eth0"',
      'nftables table podwire: fd00:10:244::5 in map masquerade6 belongs to "kindnet c2 eth0"',
    ]);
  });

  test("works again after nft flush ruleset, and repairs a base chain that was flushed", () => {
    apply(owner("c1"), dual);
    sh("nft flush ruleset");
    apply(owner("c1"), dual);
    expect(compare(owner("c1"), dual)).toEqual([]);
    sh("nft flush chain inet podwire postrouting");
    expect(compare(owner("c1"), dual)).toEqual([
      'nftables table podwire, chain postrouting: rule "ip saddr vmap @masquerade4" is missing or not in its place',
      'nftables table podwire, chain postrouting: rule "ip6 saddr vmap @masquerade6" is missing or not in its place',
    ]);
    apply(owner("c2"), masquerading("10.244.0.6/24"));
    expect(compare(owner("c1"), dual)).toEqual([]);
  });

  test.each([
    [
      "delete element inet podwire masquerade4 { 10.244.0.5 }",
      "nftables table podwire: 10.244.0.5 in map masquerade4 is missing",
    ],
    [
      "flush chain inet podwire masq-kindnet-10.244.0.0/24",
      'nftables table podwire, chain masq-kindnet-10.244.0.0/24: rule "ip daddr 10.244.0.0/24 return" is missing or not in its place',
    ],
    [
      "insert rule inet podwire masq-kindnet-10.244.0.0/24 accept",
      "nftables table podwire, chain masq-kindnet-10.244.0.0/24: has 4 rules, not 3",
    ],
    [
      'delete element inet podwire masquerade4 { 10.244.0.5 }; add element inet podwire masquerade4 { 10.244.0.5 comment "kindnet c1 eth0" : accept }',
      "nftables table podwire: 10.244.0.5 in map masquerade4 leads elsewhere",
    ],
    ["delete table inet podwire", "nftables table podwire, chain postrouting: missing"],
  ])("is found changed: %s", (change, difference) => {
    apply(owner("c1"), dual);
    sh(`nft '${change}'`);
    expect(compare(owner("c1"), dual)).toContain(difference);
  });

  test("leaves rules of other people in the base chain alone", () => {
    apply(owner("c1"), dual);
    sh("nft insert rule inet podwire postrouting oifname tun0 accept");
    apply(owner("c2"), masquerading("10.9.0.6/24"));
    expect(ruleset()).toContain('oifname "tun0" accept');
    expect(compare(owner("c1"), dual)).toEqual([]);
  });

  test("is removed by address, by comment when no address is known, twice, and never for another pod", () => {
    remove(owner("never"));
    apply(owner("c1"), dual);
    remove(owner("c2"), dual);
    expect(elements("masquerade4")).toHaveLength(1);
    remove(owner("c1"), dual);
    remove(owner("c1"), dual);
    expect([...elements("masquerade4"), ...elements("masquerade6")]).toEqual([]);
    apply(owner("c1"), dual);
    apply(owner("c10"), masquerading("10.244.0.10/24"));
    remove(owner("c1"));
    remove(owner("c1"));
    expect(elements("masquerade4").map(({ comment }) => comment)).toEqual(["kindnet c10 eth0"]);
  });

  test("is collected for lost attachments of the network only, with the chains nobody uses", () => {
    apply(owner("c1"), dual);
    apply(owner("c2"), masquerading("10.9.0.2/24"));
    apply(owner("c3", "kindnet-2"), masquerading("10.8.0.3/24"));
    collect([{ containerId: "c1", ifname: "eth0" }]);
    expect(
      elements("masquerade4")
        .map(({ comment }) => comment)
        .toSorted(),
    ).toEqual(["kindnet c1 eth0", "kindnet-2 c3 eth0"]);
    const chains = nftObjects("chain").map(({ name }) => name);
    expect(chains).not.toContain("masq-kindnet-10.9.0.0/24");
    expect(chains).toContain("masq-kindnet-10.244.0.0/24");
    collect([]);
    expect(elements("masquerade4")).toHaveLength(1);
  });

  test("is collected with thousands of elements", () => {
    apply(owner("c1"), dual);
    const many = Array.from(
      { length: 3000 },
      (_, n) => `10.9.${n >> 8}.${n & 255} comment "kindnet x${n} eth0" : jump masq-kindnet-10.244.0.0/24`,
    );
    // an ordinary user's nft may not enlarge its socket's buffer, so it gets them by and by
    for (let first = 0; first < many.length; first += 500) {
      sh(
        `nft -f - <<'END'\nadd element inet podwire masquerade4 { ${many.slice(first, first + 500).join(", ")} }\nEND`,
      );
    }
    collect([{ containerId: "c1", ifname: "eth0" }]);
    expect(elements("masquerade4")).toHaveLength(1);
  });

  test("has a status that changes nothing", () => {
    statusOf(dual);
    expect(ruleset()).toBe("");
  });

  test("gives packets that leave the subnet the node's address, and no others", () => {
    const [pod, out] = [ns("pod"), ns("out")];
    sh(`for ns in ${pod} ${out}; do ip netns add $ns; done
      ip link add vpod type veth peer name eth0 netns ${pod}; ip link add vout type veth peer name eth0 netns ${out}
      ip addr add 10.244.0.1/24 dev vpod; ip addr add 192.0.2.1/24 dev vout; ip link set vpod up; ip link set vout up
      ip -n ${pod} addr add 10.244.0.5/24 dev eth0; ip -n ${pod} link set eth0 up; ip -n ${pod} route add default via 10.244.0.1
      ip -n ${out} addr add 192.0.2.2/24 dev eth0; ip -n ${out} link set eth0 up
      echo 1 > /proc/sys/net/ipv4/ip_forward`);
    // the outside has no route back to the pod
    const reaches = (seconds: number) => succeeds(`ip netns exec ${pod} ping -q -c 1 -w ${seconds} 192.0.2.2`);
    try {
      expect(reaches(1)).toBe(false);
      apply(owner("c1"), dual);
      expect(reaches(10)).toBe(true);
      sh(
        "nft 'add table ip watch; add chain ip watch in { type filter hook input priority 0; }; add rule ip watch in ip saddr 10.244.0.5 counter'",
      );
      expect(succeeds(`ip netns exec ${pod} ping -q -c 1 -w 10 10.244.0.1`)).toBe(true);
      expect(sh("nft list table ip watch")).toMatch(/counter packets [1-9]/);
    } finally {
      sh(`ip netns delete ${pod}; ip netns delete ${out}`);
    }
  });
});
