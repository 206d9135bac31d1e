import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Owner } from "../../../src/attachment/attachment.ts";
import { hostVethName } from "../../../src/attachment/owner.ts";
import { elements, ns, ruleset, sh, succeeds } from "./node.ts";
import { apply as applyPart, collect, compare, remove as removePart } from "./parts.ts";

const owner = (containerId: string): Owner => ({ network: "lan", containerId, ifname: "eth0" });
const veth = (containerId: string): string => hostVethName(owner(containerId));
const mac = "02:00:00:00:00:01";
const guarded = (from = mac) => ({ kind: "spoofCheck", mac: from }) as const;
/** Guards the container's own veth, or another link. */
const apply = (containerId: string, from = mac, link = veth(containerId)) =>
  applyPart(owner(containerId), guarded(from), link);
const remove = (containerId: string) => removePart("spoofCheck", owner(containerId), []);
const pod = ns("pod");

beforeEach(() => {
  sh("nft flush ruleset");
});

describe("the MAC spoof check", () => {
  test("is two elements per pod, and one rule for all", () => {
    apply("c1");
    apply("c2", "02:00:00:00:00:02");
    expect(ruleset().match(/iifname @guarded iifname \. ether saddr != @allowed drop/g)).toHaveLength(1);
    expect(
      elements("guarded")
        .map(({ key, comment }) => `${key} ${comment}`)
        .toSorted(),
    ).toEqual([`${veth("c1")} lan c1 eth0`, `${veth("c2")} lan c2 eth0`].toSorted());
    expect(elements("allowed").map(({ key }) => key)).toContainEqual({ concat: [veth("c1"), mac] });
    expect(compare(owner("c1"), guarded(), veth("c1"))).toEqual([]);
    expect(compare(owner("c1"), guarded(), "veth9")).toHaveLength(2);
  });

  test("is removed without the MAC, twice, and for its owner only", () => {
    apply("c1");
    apply("c2");
    applyPart(owner("c3"), guarded(), veth("c4")); // as if somebody had given c4's link to c3
    remove("c4");
    expect(elements("guarded")).toHaveLength(3);
    remove("c1");
    remove("c1");
    expect(
      elements("guarded")
        .map(({ key }) => key)
        .toSorted(),
    ).toEqual([veth("c2"), veth("c4")].toSorted());
    expect(elements("allowed")).toHaveLength(2);
    collect("spoofCheck", "lan", []);
    expect([...elements("guarded"), ...elements("allowed")]).toEqual([]);
  });

  describe("on a bridge", () => {
    beforeEach(() => {
      sh(`ip netns add ${pod}; ip link add br0 type bridge; ip link set br0 up; ip addr add 10.9.0.1/24 dev br0
        ip link add ${veth("c1")} type veth peer name eth0 address ${mac} netns ${pod}; ip link set ${veth("c1")} master br0 up
        ip -n ${pod} addr add 10.9.0.2/24 dev eth0; ip -n ${pod} link set eth0 up`);
    });
    afterEach(() => {
      sh(`ip netns delete ${pod}; ip link delete br0`);
    });

    test("drops frames from any other MAC", () => {
      const reaches = (seconds: number) =>
        succeeds(
          `ip -n ${pod} neigh flush dev eth0; ip neigh flush dev br0; ip netns exec ${pod} ping -q -c 1 -w ${seconds} 10.9.0.1`,
        );
      apply("c1");
      expect(reaches(10)).toBe(true);
      sh(`ip -n ${pod} link set eth0 address 02:00:00:00:00:99`);
      expect(reaches(1)).toBe(false);
      remove("c1");
      expect(reaches(10)).toBe(true);
    });
  });
});
