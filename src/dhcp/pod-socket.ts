import { findLink } from "../attachment/link/links.ts";
import { PodNamespace } from "../attachment/pod-namespace.ts";
import { CniError, Code } from "../cni/error.ts";
import { close } from "../kernel/linux.ts";
import { AF_INET, attachFilter, bind, ipv4Address, receiveNow, SOCK, setsockopt, socket } from "../kernel/socket.ts";
import { encodeUtf8, viewOf } from "../net/bytes.ts";
import type { Ip } from "../net/ip.ts";
import { word } from "../netlink/codec.ts";
import { type Link, setLink } from "../netlink/rtnetlink/link.ts";
import { CLIENT_PORT } from "./packet.ts";
import type { LeaseRecord } from "./record.ts";

// Sockets of a pod's link. They belong to the pod's namespace wherever they are used, and are open only while an answer
// is waited for: an open one would keep a namespace alive that its pod has left.

/** linux/socket.h, linux/if_ether.h, asm-generic/socket.h, linux/net_tstamp.h */
const AF_PACKET = 17;
const ETH_P_IP = 0x0800;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_BROADCAST = 6;
const SO_BINDTODEVICE = 25;
const SO_TIMESTAMPING = 37;
const SOF_TIMESTAMPING_SOFTWARE = 1 << 4;
const SOF_TIMESTAMPING_TX_SCHED = 1 << 8;
const SOF_TIMESTAMPING_OPT_TSONLY = 1 << 11;

/** struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; }: what an instruction skips if it holds, and if it does not */
const instruction = (code: number, jt: number, jf: number, k: number): number[] => [
  code & 0xff,
  code >> 8,
  jt,
  jf,
  ...word(k),
];
/** IPv4, UDP, the first fragment, to the port of DHCP clients; linux/bpf_common.h for the codes */
const TO_CLIENT = Uint8Array.from([
  ...instruction(0x28, 0, 0, 12), // ldh [12]
  ...instruction(0x15, 0, 8, ETH_P_IP), // jeq
  ...instruction(0x30, 0, 0, 23), // ldb [23]
  ...instruction(0x15, 0, 6, 17), // jeq
  ...instruction(0x28, 0, 0, 20), // ldh [20]
  ...instruction(0x45, 4, 0, 0x1fff), // jset
  ...instruction(0xb1, 0, 0, 14), // ldxb 4 * ([14] & 0xf)
  ...instruction(0x48, 0, 0, 16), // ldh [x + 16]
  ...instruction(0x15, 0, 1, CLIENT_PORT), // jeq
  ...instruction(0x06, 0, 0, 0xffff), // ret
  ...instruction(0x06, 0, 0, 0), // ret
]);

/** A link of a pod, in its namespace. */
export interface PodLink extends Link {
  pod: PodNamespace;
  cookie: bigint | undefined;
}

/** Runs `use` with a pod's link; CniError where there is no such namespace or no such link in it. */
export function withPodLink<T>(netns: string, name: string, use: (link: PodLink) => T): T {
  return PodNamespace.use(netns, (pod) => {
    const link = findLink(pod.socket, name);
    if (link) return use({ ...link, pod, cookie: pod.cookie });
    throw new CniError(Code.InvalidEnvironment, `link ${name}, which is to have an address, is not in ${netns}`);
  });
}

/** True for the link a lease was given to. */
export const isLinkOf = ({ cookie, mac }: Pick<LeaseRecord, "cookie" | "mac">, link: PodLink): boolean =>
  link.cookie === cookie && link.mac === mac;

/** A link that is down asks and hears nothing. */
export const ensureUp = (link: PodLink): void => {
  if (!link.up) link.pod.socket.request([setLink(link, { up: true })]);
};

/** Opens a socket inside and readies it; nothing is left open where that fails. */
function opened(pod: PodNamespace, make: () => number, ready: (fd: number) => void): number {
  return pod.enter(() => {
    const fd = make();
    try {
      ready(fd);
      return fd;
    } catch (error) {
      close(fd);
      throw error;
    }
  });
}

/** For whole frames, to and from a link that has no address yet. */
export const openPacketSocket = ({ pod, index }: PodLink): number =>
  opened(
    pod,
    () => socket(AF_PACKET, SOCK.RAW | SOCK.NONBLOCK | SOCK.CLOEXEC, 0), // of no protocol: nothing comes before bind
    (fd) => {
      attachFilter(fd, TO_CLIENT);
      const address = new Uint8Array(20); // struct sockaddr_ll
      const view = viewOf(address);
      view.setUint16(0, AF_PACKET, true);
      view.setUint16(2, ETH_P_IP);
      view.setInt32(4, index, true);
      bind(fd, address);
    },
  );

/**
 * For messages of a link that has its address: the kernel finds the way to the server, by the link's MAC and the
 * address. EADDRNOTAVAIL where the link does not have it.
 */
export const openUdpSocket = ({ pod, name }: PodLink, address: Ip): number =>
  opened(
    pod,
    () => socket(AF_INET, SOCK.DGRAM | SOCK.NONBLOCK | SOCK.CLOEXEC, 0),
    (fd) => {
      const one = word(1);
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one);
      setsockopt(fd, SOL_SOCKET, SO_BROADCAST, one);
      setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, encodeUtf8(name));
      bind(fd, ipv4Address(address, CLIENT_PORT));
    },
  );

/**
 * From now on the socket has an "error" to be read when what was sent through it is on its way: until the server's MAC
 * is known, the kernel keeps it, and would throw it away with the link.
 */
export const tellWhenSent = (fd: number): void =>
  setsockopt(
    fd,
    SOL_SOCKET,
    SO_TIMESTAMPING,
    word(SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_TSONLY),
  );

/** Room for any message a server may send: clients say that theirs end at 1,500 bytes. */
const LONGEST = 4096;

/** What came, one datagram or frame; undefined when nothing did. */
export function receive(fd: number): Uint8Array | undefined {
  const buffer = new Uint8Array(LONGEST);
  const length = receiveNow(fd, buffer);
  return length < 0 ? undefined : buffer.subarray(0, length);
}
