import type { BandwidthPart, Shaping } from "../../attachment/attachment.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { readConfig } from "../../cni/reading.ts";
import { type Complaint, decoded, optional, shape } from "../../cni/schema.ts";
import type { ChainedPlugin } from "../../verbs/plan.ts";

const U64 = 2 ** 64;
/** Four gigabytes, the most the reference and the kernel's counter of bytes take. */
const MOST_BURST = 0xffff_ffff * 8 - 1;
const number = (most: number, what: string) =>
  optional(
    decoded(
      (value) =>
        typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most ? value : undefined,
      what,
    ),
  );
const rate = number(U64, "a whole number of bits a second from 0 (no limit) to 18446744073709551615");
const burst = number(MOST_BURST, `a whole number of bits from 0 to ${MOST_BURST} (4 GB)`);

const limits = { ingressRate: rate, ingressBurst: burst, egressRate: rate, egressBurst: burst };
type Limits = Partial<Record<keyof typeof limits, number>>;
const limitsShape = shape(limits, complaints);
const bandwidthConfig = shape(
  { ...limits, runtimeConfig: optional(shape({ bandwidth: optional(limitsShape) })) },
  complaints,
);
/** What does not go together, and what the kernel refuses. */
function complaints(config: Limits): Complaint[] {
  return (["ingress", "egress"] as const).flatMap((direction): Complaint[] => {
    const [rateKey, burstKey] = [`${direction}Rate`, `${direction}Burst`] as const;
    const { [rateKey]: bits = 0, [burstKey]: most = 0 } = config;
    if (bits === 0 && most === 0) return [];
    if (most === 0) return [{ at: burstKey, must: `must be above 0: ${rateKey} is ${bits}` }];
    if (bits === 0) return [{ at: rateKey, must: `must be above 0: ${burstKey} is ${most}` }];
    if (bits < 8) return [{ at: rateKey, must: "must be 0 (no limit) or at least 8 bits a second" }];
    const least = 8 * Math.max(1, Math.ceil(Math.floor(bits / 8) / 1e6));
    return most < least
      ? [{ at: burstKey, must: `must be at least ${least} bits, what passes in a microsecond at ${rateKey} ${bits}` }]
      : [];
  });
}

/** What is configured, even as 0 or null, comes before what the runtime asks for, which need not be right then. */
function read(call: Invocation): Limits {
  const names = Object.keys(limits).map((name) => name.toLowerCase());
  const isConfigured = Object.keys(call.config).some((key) => names.includes(key.toLowerCase()));
  const asked = ["runtimeConfig.bandwidth"];
  const idle = { may: asked, are: () => (isConfigured ? asked : []) };
  const { runtimeConfig, ...configured } = readConfig(bandwidthConfig, call, idle);
  return (isConfigured ? configured : runtimeConfig?.bandwidth) ?? {};
}

const shapingOf = (bits: number | undefined, most: number | undefined): Shaping | undefined =>
  bits && most ? { rate: Math.floor(bits / 8), burst: Math.floor(most / 8) } : undefined;

function planBandwidth({ ingressRate, ingressBurst, egressRate, egressBurst }: Limits): BandwidthPart {
  const [ingress, egress] = [shapingOf(ingressRate, ingressBurst), shapingOf(egressRate, egressBurst)];
  return { kind: "bandwidth", ...(ingress && { ingress }), ...(egress && { egress }) };
}

/** Limits how fast the container another plugin has wired may receive and send. */
export const bandwidth: ChainedPlugin<Limits> = {
  name: "bandwidth",
  kinds: [],
  optional: ["bandwidth"],
  schema: bandwidthConfig,
  read,
  asked: (limits) => [planBandwidth(limits)],
  parts: (limits) => [planBandwidth(limits)],
  result: (previous, _plan, { ifb }) =>
    ifb
      ? { ...previous, interfaces: [...previous.interfaces, { name: ifb.name, mac: ifb.mac, mtu: ifb.mtu }] }
      : previous,
};
