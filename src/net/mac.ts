import { concatBytes, decodeHex, encodeHex } from "./bytes.ts";
import { type Ip, ipFromBytes } from "./ip.ts";

const pairs = /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/;
const quads = /^[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}$/;

/**
 * An Ethernet address in any notation Go's net.ParseMAC takes for six bytes (`:`, `-`, `.`), as `0a:58:...`; or
 * undefined.
 */
export function parseMac(text: string): string | undefined {
  const lower = text.toLowerCase();
  if (!pairs.test(lower) && !quads.test(lower)) return undefined;
  return macFromBytes(decodeHex(lower.replace(/[^0-9a-f]/g, "")));
}

/** As `parseMac`, for one link's own address: the kernel gives none a group's (IEEE 802, I/G bit), or only zeros. */
export function parseOwnMac(text: string): string | undefined {
  const mac = parseMac(text);
  return mac === undefined || (macBytes(mac)[0]! & 1) === 1 || mac === "00:00:00:00:00:00" ? undefined : mac;
}

/** What `parseOwnMac` reads, in words. */
export const OWN_MAC = "a MAC address of one link, such as 0a:58:0a:01:00:02";

/** The six bytes of a MAC in colon form. */
export const macBytes = (mac: string): Uint8Array => decodeHex(mac.replaceAll(":", ""));

/** Bytes of a hardware address in colon form. */
export const macFromBytes = (bytes: Uint8Array): string => encodeHex(bytes).replace(/..(?=.)/g, "$&:");

/** The link-local address the kernel gives a link with this MAC (RFC 4291, appendix A: modified EUI-64). */
export function eui64LinkLocal(mac: string): Ip {
  const bytes = macBytes(mac);
  return ipFromBytes(
    concatBytes([
      decodeHex("fe80000000000000"),
      Uint8Array.of(bytes[0]! ^ 0x02),
      bytes.subarray(1, 3),
      Uint8Array.of(0xff, 0xfe),
      bytes.subarray(3),
    ]),
  );
}
