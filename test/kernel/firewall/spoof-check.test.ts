import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Owner } from "../../../src/attachment/attachment.ts";
import { applyFirewall, checkFirewall, collectFirewall, removeFirewall } from "../../../src/attachment/firewall/firewall.ts";
import { elements, ns, ruleset, sh, succeeds } from "./node.ts";

const owner = (containerId: string): Owner => ({ network: "lan", containerId, ifname: "eth0" });
const mac = "02:00:00:00:00:01";
const guarded = { spoofCheck: { mac } };
const apply = (who: Owner, hostVeth: string, firewall = guarded) => applyFirewall(who, hostVeth, firewall, () => undefined);
const pod = ns("pod");
const remove = (who: Owner, hostVeth: string) => removeFirewall({ owner: who, hostVeth, addresses: [], masquerade: false });

beforeEach(() => {
  sh("nft flush ruleset");
});

describe("the MAC spoof check", () => {
  test("is two elements per pod, and one rule for all", () => {
    apply(owner("c1"), "veth1");
    apply(owner("c2"), "veth2", { spoofCheck: { mac: "02:00:00:00:00:02" } });
    expect(ruleset().match(/iifname @guarded iifname \. ether saddr != @allowed drop/g)).toHaveLength(1);
    expect(elements("guarded").map(({ key, comment }) => `${key} ${comment}`).toSorted()).toEqual(["veth1 lan c1 eth0", "veth2 lan c2 eth0"]);
    expect(elements("allowed").map(({ key }) => key)).toContainEqual({ concat: ["veth1", mac] });
    expect(checkFirewall(owner("c1"), "veth1", guarded)).toEqual([]);
    expect(checkFirewall(owner("c1"), "veth9", guarded)).toHaveLength(2);
  });

  test("is removed without the MAC, twice, and for its owner only", () => {
    apply(owner("c1"), "veth1");
    apply(owner("c2"), "veth2");
    remove(owner("c2"), "veth1");
    remove(owner("c1"), "veth1");
    remove(owner("c1"), "veth1");
    expect(elements("guarded").map(({ key }) => key)).toEqual(["veth2"]);
    expect(elements("allowed")).toHaveLength(1);
    collectFirewall("lan", []);
    expect([...elements("guarded"), ...elements("allowed")]).toEqual([]);
  });

  describe("on a bridge", () => {
    beforeEach(() => {
      sh(`ip netns add ${pod}; ip link add br0 type bridge; ip link set br0 up; ip addr add 10.9.0.1/24 dev br0
        ip link add veth1 type veth peer name eth0 address ${mac} netns ${pod}; ip link set veth1 master br0 up
        ip -n ${pod} addr add 10.9.0.2/24 dev eth0; ip -n ${pod} link set eth0 up`);
    });
    afterEach(() => {
      sh(`ip netns delete ${pod}; ip link delete br0`);
    });

    test("drops frames from any other MAC", () => {
      const reaches = (seconds: number) => succeeds(`ip -n ${pod} neigh flush dev eth0; ip neigh flush dev br0; ip netns exec ${pod} ping -q -c 1 -w ${seconds} 10.9.0.1`);
      apply(owner("c1"), "veth1");
      expect(reaches(10)).toBe(true);
      sh(`ip -n ${pod} link set eth0 address 02:00:00:00:00:99`);
      expect(reaches(1)).toBe(false);
      remove(owner("c1"), "veth1");
      expect(reaches(10)).toBe(true);
    });
  });
});
