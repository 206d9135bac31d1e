import { beforeEach, expect, test } from "vitest";
import {
  referenceMasqueradeHash,
  removeReferenceMasquerade,
  removeReferenceSpoofCheck,
} from "../../../src/attachment/firewall/reference.ts";
import { parseIp } from "../../../src/net/ip.ts";
import { ruleset, sh } from "./node.ts";

beforeEach(() => {
  sh("nft flush ruleset");
});

const owner = { network: "unit-test", containerId: "one", ifname: "eth0" };

test("the reference's comments are recognised", () => {
  expect(referenceMasqueradeHash(owner)).toBe("6fd94d501e58f0aa-287fc69eff0574a2");
});

test("what the reference left for an attachment is removed, and only that", () => {
  sh(`nft -f - <<'END'
    table inet cni_plugins_masquerade {
      chain masq_checks {
        ip saddr 10.1.0.5 ip daddr != 10.1.0.0/24 masquerade comment "6fd94d501e58f0aa-287fc69eff0574a2, net: unit-test, if: eth0, id: one"
        ip saddr 10.1.0.6 ip daddr != 10.1.0.0/24 masquerade comment "6fd94d501e58f0aa-aaaaaaaaaaaaaaaa, net: unit-test, if: eth0, id: two"
      }
      chain postrouting { type nat hook postrouting priority 100; goto masq_checks; }
    }
    table bridge nat {
      chain cni-br-iface-one-eth0-mac { ether saddr 02:00:00:00:00:01 return; drop; }
      chain cni-br-iface-one-eth0 { jump cni-br-iface-one-eth0-mac; }
      chain cni-br-iface-two-eth0 { }
      chain PREROUTING {
        type filter hook prerouting priority -300;
        iifname "veth1" jump cni-br-iface-one-eth0 comment "macspoofchk-one-eth0"
        iifname "veth2" jump cni-br-iface-two-eth0 comment "macspoofchk-two-eth0"
      }
    }
END`);
  for (const addresses of [[parseIp("10.1.0.5")!], []]) {
    removeReferenceMasquerade(owner, addresses);
    removeReferenceSpoofCheck(owner);
  }
  const left = ruleset();
  expect(left).not.toMatch(/id: one|one-eth0/);
  expect(left).toMatch(/id: two/);
  expect(left.match(/two-eth0/g)).toHaveLength(3);
});
