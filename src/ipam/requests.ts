import { Code, CniError } from "../cni/error.ts";
import { formatIp, type Ip } from "../net/ip.ts";
import { findRange, formatSet, isGateway, type RangeSet } from "./range.ts";

/** An address somebody asked for, and where: "CNI_ARGS IP", "args.cni.ips[0]", "runtimeConfig.ips[0]". */
export interface Request {
  ip: Ip;
  from: string;
}

/** An error names this many requests. */
const NAMED = 10;

/** For each range set the address asked for in it, if any. A request that no set can serve is an error. */
export function planRequests(sets: RangeSet[], requests: Request[]): (Ip | undefined)[] {
  const seen = new Set<string>();
  const distinct = requests.filter(({ ip }) => seen.size < seen.add(formatIp(ip)).size);
  const plan = sets.map((set) => distinct.find(({ ip }) => findRange(set, ip)));
  const wrong = distinct.flatMap((request) => {
    const set = sets.find((one) => findRange(one, request.ip));
    if (!set) {
      return { ...request, why: `is in no range of the network (${sets.slice(0, NAMED).map(formatSet).join("; ")})` };
    }
    if (isGateway(set, request.ip)) return { ...request, why: "is the subnet's gateway" };
    return plan.includes(request)
      ? []
      : {
          ...request,
          why: `is asked for besides another one of range set ${sets.indexOf(set)}, which gives one address`,
        };
  });
  if (wrong.length === 0) return plan.map((request) => request?.ip);
  const code = wrong.every(({ from }) => from.startsWith("CNI_ARGS")) ? Code.InvalidEnvironment : Code.InvalidConfig;
  throw new CniError(
    code,
    `cannot give all requested addresses: ${wrong
      .slice(0, NAMED)
      .map(({ ip, from, why }) => `${from}: ${formatIp(ip)} ${why}`)
      .join("; ")}`,
  );
}
