import "../../harness/engine-setup.ts";
import { expect, test } from "vitest";
import { staying } from "../../../src/ipam/collect.ts";

test("whether an attachment stays is looked at once: its lease and its record stay or go together", () => {
  const asked: string[] = [];
  const stays = staying([{ containerId: "valid", ifname: "eth0" }], ({ containerId, ifname }) => {
    asked.push(`${containerId}:${ifname}`);
    return asked.length > 1; // a link is made while GC looks
  });
  const [valid, lost, made] = ["valid", "lost", "made"].map((containerId) => ({ containerId, ifname: "eth0" }));
  expect([valid!, lost!, lost!, made!, made!].map(stays)).toEqual([true, false, false, true, true]);
  expect(stays({ containerId: "valid", ifname: "eth1" })).toBe(true);
  expect(asked).toEqual(["lost:eth0", "made:eth0", "valid:eth1"]);
});
