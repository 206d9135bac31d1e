import { type Ip, ipFromBytes } from "./ip.ts";

const pairs = /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/;
const quads = /^[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}$/;

/** An Ethernet address in any notation Go's net.ParseMAC takes for six bytes (`:`, `-`, `.`), as `0a:58:...` in lower case; or undefined. */
export function parseMac(text: string): string | undefined {
  const lower = text.toLowerCase();
  if (!pairs.test(lower) && !quads.test(lower)) return undefined;
  return macFromBytes(Buffer.from(lower.replace(/[^0-9a-f]/g, ""), "hex"));
}

/** The six bytes of a MAC in colon form. */
export const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(":", ""), "hex");

/** Bytes of a hardware address in colon form. */
export const macFromBytes = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex").replace(/..(?=.)/g, "$&:");

/** A random address of the locally administered, unicast kind (IEEE 802, the two low bits of the first byte). */
export function randomMac(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  bytes[0] = (bytes[0]! & 0xfc) | 0x02;
  return macFromBytes(bytes);
}

/** The link-local address the kernel gives a link with this MAC (RFC 4291, appendix A: modified EUI-64). */
export function eui64LinkLocal(mac: string): Ip {
  const bytes = macBytes(mac);
  return ipFromBytes(Buffer.concat([Buffer.from("fe80000000000000", "hex"), Buffer.from([bytes[0]! ^ 0x02]), bytes.subarray(1, 3), Buffer.from([0xff, 0xfe]), bytes.subarray(3)]));
}
