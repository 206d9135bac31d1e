import type { ResultRoute } from "../cni/result.ts";
import { defaultPrefix, type Ip, ipFromBytes, networkOf, type Prefix } from "../net/ip.ts";
import { RT_SCOPE } from "../netlink/rtnetlink/route.ts";
import type { Answer } from "./message.ts";
import { findAddress, findSeconds, Option, type Options } from "./options.ts";

/** What a server gave. */
export interface Lease {
  address: Prefix;
  gateway?: Ip;
  routes: ResultRoute[];
  /** option 54: whom it is renewed with, and given back to */
  server: Ip;
  /** from the moment the request for it was sent; Infinity is for ever */
  seconds: number;
  renewAfter: number;
  rebindAfter: number;
}

/** Where a server names no time, as the reference has it. */
const USUAL_SECONDS = 3600;
/** What is given for less could not be renewed in peace. */
const SHORTEST_SECONDS = 2;
const FOR_EVER = 0xffff_ffff;
/** RFC 2131, 4.4.5 */
const RENEW_AT = 0.5;
const REBIND_AT = 0.875;

/** The times of a lease by the options of an answer (RFC 2131, 4.4.5). */
export function timesOf(options: Options): Pick<Lease, "seconds" | "renewAfter" | "rebindAfter"> {
  const said = findSeconds(options, Option.LEASE_TIME) ?? USUAL_SECONDS;
  if (said === FOR_EVER) return { seconds: Infinity, renewAfter: Infinity, rebindAfter: Infinity };
  const seconds = Math.max(said, SHORTEST_SECONDS);
  const rebind = findSeconds(options, Option.REBINDING_TIME) ?? 0;
  const rebindAfter = rebind > 0 && rebind < seconds ? rebind : seconds * REBIND_AT;
  const renew = findSeconds(options, Option.RENEWAL_TIME) ?? 0;
  const renewAfter = renew > 0 && renew < rebindAfter ? renew : Math.min(seconds * RENEW_AT, rebindAfter);
  return { seconds, renewAfter, rebindAfter };
}

/** The prefix length of a subnet mask; undefined where it has holes. */
function lengthOf(mask: Ip): number | undefined {
  const inverse = Number(~mask.value & 0xffff_ffffn);
  return (inverse & (inverse + 1)) === 0 ? Math.clz32(inverse) : undefined;
}

/** The lease an OFFER or ACK is of; in words what it lacks. */
export function toLease({ yourAddress, options }: Answer): Lease | string {
  const mask = findAddress(options, Option.SUBNET_MASK);
  const server = findAddress(options, Option.SERVER_ID);
  const length = mask && lengthOf(mask);
  if (!server) return "it does not name itself (option 54)";
  if (!isHostAddress(yourAddress)) return "it gives no address";
  if (length === undefined) return `DHCP option Subnet Mask ${mask ? "is none" : "not found"}`;
  const gateway = findAddress(options, Option.ROUTER);
  return {
    address: { ip: yourAddress, length },
    ...(gateway && { gateway }),
    routes: routesOf(options, gateway),
    server,
    ...timesOf(options),
  };
}

/** Neither "this host" and loopback, nor multicast and what is above (RFC 6890). */
const isHostAddress = ({ value }: Ip): boolean => {
  const first = Number(value >> 24n);
  return first > 0 && first < 224 && first !== 127;
};

/** Option 121 alone where it is there (RFC 3442), else those of option 33, and the default route by option 3. */
function routesOf(options: Options, gateway: Ip | undefined): ResultRoute[] {
  const classless = options.get(Option.CLASSLESS_ROUTES);
  if (classless) return classlessRoutes(classless);
  const fixed = options.get(Option.STATIC_ROUTE);
  return [...(fixed ? classfulRoutes(fixed) : []), ...(gateway ? [{ dst: defaultPrefix(4), gw: gateway }] : [])];
}

/** RFC 3442: a length, as many bytes of the destination as it has, the gateway; 0.0.0.0 is "on the link". */
function classlessRoutes(bytes: Uint8Array): ResultRoute[] {
  const routes: ResultRoute[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = bytes[at]!;
    const significant = Math.ceil(length / 8);
    const end = at + 1 + significant + 4;
    if (length > 32 || end > bytes.length) break;
    const network = new Uint8Array(4);
    network.set(bytes.subarray(at + 1, at + 1 + significant));
    const gw = ipFromBytes(bytes.subarray(end - 4, end));
    const dst = networkOf({ ip: ipFromBytes(network), length });
    routes.push({ dst, gw, ...(gw.value === 0n && { scope: RT_SCOPE.LINK }) });
    at = end;
  }
  return routes;
}

/** RFC 2132, 5.8: pairs of a destination, whose class tells its length, and a gateway. */
function classfulRoutes(bytes: Uint8Array): ResultRoute[] {
  const routes: ResultRoute[] = [];
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    const ip = ipFromBytes(bytes.subarray(at, at + 4));
    const first = bytes[at]!;
    const length = first < 128 ? 8 : first < 192 ? 16 : 24;
    routes.push({ dst: networkOf({ ip, length }), gw: ipFromBytes(bytes.subarray(at + 4, at + 8)) });
  }
  return routes;
}
