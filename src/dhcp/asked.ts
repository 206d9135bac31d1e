import type { Owner } from "../attachment/attachment.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { type Ip, ipBytes } from "../net/ip.ts";
import { MessageType } from "./message.ts";
import { Option, type Options } from "./options.ts";

/** What a configuration wants to be said and asked for. */
export interface Asked {
  /** said in every message */
  provide: Options;
  /** option 55: the numbers of what the server is to tell, in order */
  request: readonly number[];
}

/** The bytes of option 61, of which the first says that what follows is no hardware address (RFC 2132, 9.14). */
const CLIENT_ID_BYTES = 254;
const MAX_MESSAGE_SIZE = Uint8Array.of(1500 >> 8, 1500 & 0xff);

/** The reference's: servers know the client again when one daemon takes the place of the other. */
export const clientText = ({ containerId, network, ifname }: Owner): string => `${containerId}/${network}/${ifname}`;

function clientId(client: Owner): Uint8Array {
  const text = encodeUtf8(clientText(client)).subarray(0, CLIENT_ID_BYTES);
  const bytes = new Uint8Array(1 + text.length);
  bytes.set(text, 1);
  return bytes;
}

/** What a message of its kind has besides what all have. */
export interface Saying {
  type: keyof typeof MessageType;
  /** option 54: the server that is meant */
  server?: Ip;
  /** option 50: the address that is wanted */
  address?: Ip;
}

/** The options of a client's message (RFC 2131, table 5). What is provided says nothing of what a message is for. */
export function optionsOf(client: Owner, { provide, request }: Asked, { type, server, address }: Saying): Options {
  const asks = type !== "RELEASE";
  return new Map([
    [Option.MESSAGE_TYPE, Uint8Array.of(MessageType[type])],
    [Option.CLIENT_ID, clientId(client)],
    ...(asks ? [[Option.MAX_MESSAGE_SIZE, MAX_MESSAGE_SIZE] as const] : []),
    ...(asks ? provide : [...provide].filter(([code]) => code === Option.CLIENT_ID)),
    ...(asks && request.length > 0 ? [[Option.PARAMETER_LIST, Uint8Array.from(request)] as const] : []),
    ...(server ? [[Option.SERVER_ID, ipBytes(server)] as const] : []),
    ...(address ? [[Option.REQUESTED_ADDRESS, ipBytes(address)] as const] : []),
    [Option.MESSAGE_TYPE, Uint8Array.of(MessageType[type])],
  ]);
}
