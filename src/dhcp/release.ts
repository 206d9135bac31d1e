import { CniError } from "../cni/error.ts";
import { close, SystemError } from "../kernel/linux.ts";
import { randomWord } from "../kernel/random.ts";
import { ipv4Address, sendTo } from "../kernel/socket.ts";
import { optionsOf } from "./asked.ts";
import { encodeMessage } from "./message.ts";
import { SERVER_PORT } from "./packet.ts";
import { isLinkOf, openUdpSocket, tellWhenSent, withPodLink } from "./pod-socket.ts";
import type { LeaseRecord } from "./record.ts";

/** So long a RELEASE may take to leave: where nobody tells the MAC of its next hop, it never does. */
export const RELEASE_MS = 1_000;

/**
 * Tells the server that the pod's address is free again (RFC 2131, 4.4.6), from that address and by the link's own MAC:
 * no server listens to any other. Returns the socket, which has something to be read when the message is on its way; or
 * why nothing can be said.
 */
export function startRelease(record: LeaseRecord, prefix: string): number | string {
  const { client, asked, mac, lease, netns } = record;
  if (record.lost !== "") return "the lease had been lost before";
  try {
    return withPodLink(prefix + netns, client.ifname, (link) => {
      if (!isLinkOf(record, link)) return "the pod's link is gone";
      const fd = openUdpSocket(link, lease.address.ip);
      try {
        tellWhenSent(fd);
        const options = optionsOf(client, asked, { type: "RELEASE", server: lease.server });
        const clientAddress = lease.address.ip;
        const message = encodeMessage({ xid: randomWord(), seconds: 0, broadcast: false, clientAddress, mac, options });
        sendTo(fd, message, ipv4Address(lease.server, SERVER_PORT));
        return fd;
      } catch (error) {
        close(fd);
        throw error;
      }
    });
  } catch (error) {
    if (error instanceof SystemError || error instanceof CniError) return error.message;
    throw error;
  }
}
