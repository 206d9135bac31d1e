import type { Owner } from "../attachment/attachment.ts";
import { ip, prefix, route } from "../cni/fields.ts";
import { tryJson } from "../cni/json.ts";
import { parseLeniently } from "../cni/reading.ts";
import { type Infer, integer, list, optional, orElse, type Schema, shape, text } from "../cni/schema.ts";
import { decodeHex, encodeHex } from "../net/bytes.ts";
import { formatIp, formatPrefix } from "../net/ip.ts";
import type { Asked } from "./asked.ts";
import type { Lease } from "./lease.ts";

/** What the daemon keeps of a lease, in memory and on disk. */
export interface LeaseRecord {
  client: Owner;
  /** path of the pod's network namespace, and its SO_NETNS_COOKIE where the kernel has such */
  netns: string;
  cookie?: bigint;
  /** text of the /run marker when it was made: the clock begins anew with each boot */
  marker: string;
  mac: string;
  asked: Asked;
  lease: Lease;
  /** when the request that the server said yes to was sent: milliseconds of the monotonic clock */
  since: number;
  /** why there is none any more; "" while it is held */
  lost: string;
}

/** What a client asks, as JSON has it. */
export const askedSchema = shape({
  provide: orElse(list(shape({ option: integer(1, 254), value: orElse(text(), "") })), []),
  request: orElse(list(integer(1, 254)), []),
});

export const askedToJson = ({ provide, request }: Asked): Infer<typeof askedSchema> => ({
  provide: [...provide].map(([option, value]) => ({ option, value: encodeHex(value) })),
  request: [...request],
});

export const askedFromJson = ({ provide, request }: Infer<typeof askedSchema>): Asked => ({
  provide: new Map(provide.map(({ option, value }) => [option, decodeHex(value)])),
  request,
});

/** Seconds; absent is for ever. */
const seconds = optional(integer(0, 0xffff_ffff));
const whole = optional(
  shape({
    network: text(),
    containerId: text(),
    ifname: text(),
    netns: text(),
    cookie: orElse(text(), ""),
    marker: orElse(text(), ""),
    mac: text(),
    asked: askedSchema,
    address: prefix,
    gateway: optional(ip),
    routes: orElse(list(route), []),
    server: ip,
    seconds,
    renewAfter: seconds,
    rebindAfter: seconds,
    since: integer(0, Number.MAX_SAFE_INTEGER),
    lost: orElse(text(), ""),
  }),
);
const recordSchema = shape({ lease: whole }) as Schema<{ lease?: NonNullable<Infer<typeof whole>> }>;

export function encodeRecord({ client, cookie, asked, lease, since, ...rest }: LeaseRecord): string {
  const { address, gateway, routes, server, ...times } = lease;
  const finite = Object.entries(times).filter(([, value]) => value !== Infinity);
  const json = {
    ...client,
    ...rest,
    ...(cookie !== undefined && { cookie: `${cookie}` }),
    asked: askedToJson(asked),
    address: formatPrefix(address),
    ...(gateway && { gateway: formatIp(gateway) }),
    routes: routes.map(({ dst, gw, ...more }) => ({
      dst: formatPrefix(dst),
      ...(gw && { gw: formatIp(gw) }),
      ...more,
    })),
    server: formatIp(server),
    ...Object.fromEntries(finite.map(([key, value]) => [key, Math.floor(value)])),
    since: Math.floor(since),
  };
  return `${JSON.stringify({ lease: json })}\n`;
}

/** Undefined for a text that is no record, or was cut short. */
export function decodeRecord(written: string): LeaseRecord | undefined {
  const { lease: found } = parseLeniently(recordSchema, tryJson(written)).value;
  if (!found) return undefined;
  const { network, containerId, ifname, netns, cookie, marker, mac, asked, since, lost, ...lease } = found;
  const { seconds: all = Infinity, renewAfter = Infinity, rebindAfter = Infinity, gateway, ...more } = lease;
  return {
    client: { network, containerId, ifname },
    netns,
    ...(/^\d+$/.test(cookie) && { cookie: BigInt(cookie) }),
    marker,
    mac,
    asked: askedFromJson(asked),
    lease: { ...more, ...(gateway && { gateway }), seconds: all, renewAfter, rebindAfter },
    since,
    lost,
  };
}
