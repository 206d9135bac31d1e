import { concatBytes, viewOf } from "../net/bytes.ts";
import { macBytes } from "../net/mac.ts";

// What is said before there is an address: whole Ethernet frames, as a packet socket takes and gives them.

/** RFC 2131, 4.1 */
export const SERVER_PORT = 67;
export const CLIENT_PORT = 68;

const ETHERNET_BYTES = 14;
const ETHERTYPE_IPV4 = 0x0800;
const UDP = 17;
const UDP_BYTES = 8;
const IPV4_BYTES = 20;
const TTL = 64;
/** fragment offset, and "more fragments" */
const FRAGMENT = 0x3fff;

/** A DHCP message from nobody to everybody: 0.0.0.0:68 to 255.255.255.255:67, by the MAC it comes from. */
export function encodeFrame(mac: string, payload: Uint8Array): Uint8Array {
  const headers = new Uint8Array(ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES);
  headers.fill(0xff, 0, 6);
  headers.set(macBytes(mac), 6);
  const view = viewOf(headers);
  view.setUint16(12, ETHERTYPE_IPV4);
  const udpBytes = UDP_BYTES + payload.length;
  const ip = ETHERNET_BYTES;
  headers[ip] = 0x45; // version 4, five words of header
  view.setUint16(ip + 2, IPV4_BYTES + udpBytes);
  headers[ip + 8] = TTL;
  headers[ip + 9] = UDP;
  headers.fill(0xff, ip + 16, ip + 20);
  view.setUint16(ip + 10, checksum([headers.subarray(ip, ip + IPV4_BYTES)]));
  const udp = ip + IPV4_BYTES;
  view.setUint16(udp, CLIENT_PORT);
  view.setUint16(udp + 2, SERVER_PORT);
  view.setUint16(udp + 4, udpBytes);
  const pseudo = Uint8Array.of(0, UDP, udpBytes >> 8, udpBytes);
  const sum = checksum([headers.subarray(ip + 12, ip + 20), pseudo, headers.subarray(udp), payload]);
  view.setUint16(udp + 6, sum || 0xffff); // 0 would say that there is none (RFC 768)
  return concatBytes([headers, payload]);
}

/**
 * What a frame carries to the port of DHCP clients; undefined for one that carries anything else or is broken. Its UDP
 * checksum is not looked at: on a link of the same machine it was never computed.
 */
export function decodeFrame(frame: Uint8Array): Uint8Array | undefined {
  const packet = frame.subarray(ETHERNET_BYTES);
  const view = viewOf(packet);
  if (packet.length < IPV4_BYTES + UDP_BYTES || viewOf(frame).getUint16(12) !== ETHERTYPE_IPV4) return undefined;
  const headerBytes = (packet[0]! & 0x0f) * 4;
  const end = view.getUint16(2);
  const isWhole = packet[0]! >> 4 === 4 && headerBytes >= IPV4_BYTES && end <= packet.length;
  if (!isWhole || packet[9] !== UDP || (view.getUint16(6) & FRAGMENT) !== 0) return undefined;
  if (headerBytes + UDP_BYTES > end || checksum([packet.subarray(0, headerBytes)]) !== 0) return undefined;
  const udpBytes = view.getUint16(headerBytes + 4);
  const isToClient = view.getUint16(headerBytes) === SERVER_PORT && view.getUint16(headerBytes + 2) === CLIENT_PORT;
  if (!isToClient || udpBytes < UDP_BYTES || headerBytes + udpBytes > end) return undefined;
  return packet.subarray(headerBytes + UDP_BYTES, headerBytes + udpBytes);
}

/** RFC 1071; every part but the last has an even number of bytes. */
function checksum(parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) for (let at = 0; at < part.length; at++) sum += at % 2 === 0 ? part[at]! << 8 : part[at]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  return ~sum & 0xffff;
}
