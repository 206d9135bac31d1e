import { thousands } from "../net/text.ts";
import { type Capacity, describeStates, percentOf } from "../survey/capacity.ts";
import { fault, type Finding, ok, warn } from "./finding.ts";

// What numbers mean, apart from where they are read.

/** A range from so many percent on is near its end. */
const NEARLY_FULL = 90;

/** What a range's fill means for the next pod. */
export function judgeCapacity(capacity: Capacity): Finding[] {
  const { network, ranges, size, leased, states } = capacity;
  const gone = states.gone ?? 0;
  const percent = percentOf(capacity);
  if (percent < NEARLY_FULL) return [];
  const what = `${network} ${ranges}: ${thousands(leased)} of ${thousands(size)} used: ${describeStates(states)}`;
  const more = {
    is: `${percent} %`,
    mend: gone > 0 ? `podwire gc --network ${network}` : "give the network a further range in that set",
  };
  return BigInt(leased) >= size && gone === 0 ? [fault("addresses", what, more)] : [warn("addresses", what, more)];
}

/** New connections are dropped when the table is full, of pods and node alike. */
export function judgeConntrack(count: number, max: number): Finding[] {
  const what = `${thousands(count)} of ${thousands(max)} entries`;
  const mend = `sysctl -w net.netfilter.nf_conntrack_max=${max * 2}`;
  if (max > 0 && count >= max * 0.95) {
    return [fault("conntrack", `${what}: new connections are being dropped`, { mend })];
  }
  if (max > 0 && count >= max * 0.8) {
    return [warn("conntrack", `${what}: when it is full, new connections are dropped`, { mend })];
  }
  return [ok("conntrack", what)];
}
