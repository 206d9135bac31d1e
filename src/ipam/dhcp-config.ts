import { show } from "../cni/complaint.ts";
import type { Invocation } from "../cni/invocation.ts";
import { parseConfig, parseLeniently } from "../cni/reading.ts";
import { decoded, flag, type Infer, integer, list, optional, orElse, shape, text } from "../cni/schema.ts";
import type { Asked } from "../dhcp/asked.ts";
import { LONGEST, Option } from "../dhcp/options.ts";
import { encodeUtf8, utf8Length } from "../net/bytes.ts";
import { CniError, Code } from "../cni/error.ts";

/** What dhcp reads of a configuration and CNI_ARGS. */
export interface DhcpConfig {
  socketPath: string;
  asked: Asked;
  /** set on every route; 0 is none */
  priority: number;
}

/** Where the daemon listens when nothing says where; the reference's as well. */
export const DEFAULT_SOCKET = "/run/cni/dhcp.sock";

const names: Readonly<Record<string, number>> = {
  "dhcp-client-identifier": Option.CLIENT_ID,
  "subnet-mask": Option.SUBNET_MASK,
  routers: Option.ROUTER,
  "host-name": Option.HOST_NAME,
  "user-class": Option.USER_CLASS,
  "vendor-class-identifier": Option.VENDOR_CLASS,
};

const optionNumber = decoded<number>(
  (value) => {
    if (typeof value !== "string") return undefined;
    const number = names[value] ?? (/^\d{1,3}$/.test(value) ? Number(value) : 0);
    return number > Option.PAD && number < Option.END ? number : undefined;
  },
  `the name of an option (${Object.keys(names).join(", ")}), or its number as text, "1" to "254"`,
);

const socketPath = text(
  "an absolute path",
  (value) => value === "" || (value.startsWith("/") && !value.includes("\0")),
);
const optionValue = text(`text of at most ${LONGEST} bytes`, (value) => utf8Length(value) <= LONGEST);

/** What dhcp reads of a configuration. */
export const dhcpSchema = shape({
  ipam: shape({
    daemonSocketPath: orElse(socketPath, ""),
    provide: orElse(
      list(shape({ option: optionNumber, value: orElse(optionValue, ""), fromArg: orElse(text(), "") })),
      [],
    ),
    request: orElse(list(shape({ option: optional(optionNumber), skipDefault: flag() })), []),
    priority: orElse(integer(0, 0xffff_ffff), 0),
  }),
});

type Keys = Infer<typeof dhcpSchema>["ipam"];

/** What ADD, CHECK and STATUS go by; CniError 7 (configuration) or 4 (CNI_ARGS) for what is wrong. */
export function parseDhcp(call: Pick<Invocation, "args" | "config">): DhcpConfig {
  const { ipam } = parseConfig(dhcpSchema, call.config);
  return {
    socketPath: ipam.daemonSocketPath || DEFAULT_SOCKET,
    priority: ipam.priority,
    asked: { provide: provided(ipam, readAll(call.args)), request: requested(ipam) },
  };
}

const socketAlone = shape({
  ipam: orElse(shape({ daemonSocketPath: orElse(socketPath, "") }), { daemonSocketPath: "" }),
});

/** Where the daemon is, from a configuration that need not be valid otherwise: all that DEL and GC need. */
export const parseSocketPath = ({ config }: Pick<Invocation, "config">): string =>
  parseLeniently(socketAlone, config).value.ipam.daemonSocketPath || DEFAULT_SOCKET;

/** Every pair of CNI_ARGS, whosever it is: any may be named as the value of an option. */
const readAll = (args: string): ReadonlyMap<string, string> =>
  new Map(
    args.split(";").flatMap((pair): [string, string][] => {
      const at = pair.indexOf("=");
      return at < 0 ? [] : [[pair.slice(0, at), pair.slice(at + 1)]];
    }),
  );

/** An argument counts before `value`; where it is not there, the option is not said. */
function provided({ provide }: Keys, args: ReadonlyMap<string, string>): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (const { option, value, fromArg } of provide) {
    const said = fromArg === "" ? value : args.get(fromArg);
    if (said === undefined) continue;
    if (utf8Length(said) > LONGEST) {
      throw new CniError(
        Code.InvalidEnvironment,
        `invalid CNI_ARGS: ${fromArg} is ${show(said)}, must be text of at most ${LONGEST} bytes: ` +
          `it is the value of DHCP option ${option}`,
      );
    }
    options.set(option, encodeUtf8(said));
  }
  return options;
}

/** Subnet mask and router are asked for besides, unless one says `skipDefault`. */
function requested({ request }: Keys): number[] {
  const listed = request.flatMap(({ option }) => option ?? []);
  const isDefault = !request.some(({ skipDefault }) => skipDefault);
  if (isDefault) return [...new Set([...listed, Option.ROUTER, Option.SUBNET_MASK])];
  // the reference's library asks for these where it is told nothing: 15 and 6 are the domain and its servers
  return listed.length > 0 ? [...new Set(listed)] : [Option.SUBNET_MASK, Option.ROUTER, 15, 6];
}
