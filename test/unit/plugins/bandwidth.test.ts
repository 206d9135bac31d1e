import { expect, test } from "vitest";
import { findPart } from "../../../src/attachment/attachment.ts";
import { tbfOf } from "../../../src/attachment/shaping/shaper.ts";
import { quietLog } from "../../../src/cni/log.ts";
import { bandwidth } from "../../../src/plugins/chained/bandwidth.ts";

// Bits of the configuration to the kernel's numbers: contract, chained.md section 4, and what netlink showed the
// reference make.

const U32 = 0xffff_ffff;

function tbf(ingressRate: number, ingressBurst: number) {
  const limits = bandwidth.read({ verb: "ADD", config: { ingressRate, ingressBurst }, log: quietLog() } as never);
  return tbfOf(findPart(bandwidth.asked(limits), "bandwidth")!.ingress!);
}

test.each([
  [8000, 80, { rate: 1000, limit: 35, buffer: 156_250 }],
  [16, 8, { rate: 2, limit: 1, buffer: 7_812_500 }],
  [8_000_000, 800_000, { rate: 1_000_000, limit: 125_000, buffer: 1_562_500 }],
  [1_234_567, 7_654_321, { rate: 154_320, limit: 960_648, buffer: 96_875_593 }],
  // what does not fit is the most there is
  [1_000_000, U32, { rate: 125_000, limit: 536_874_036, buffer: U32 }],
  [8e15, 34e9, { rate: 1e15, limit: U32, buffer: 62 }],
])("%d bits a second, a burst of %d", (rate, burst, expected) => expect(tbf(rate, burst)).toEqual(expected));
