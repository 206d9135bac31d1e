import { isErrno } from "../../kernel/linux.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import type { Message } from "../../netlink/message.ts";

/**
 * Adds routes behind other messages, in one batch. One that is there is one the kernel, or this very list, has made: of
 * equal ones there is one.
 */
export function addOnce(socket: NetlinkSocket, before: readonly Message[], routes: readonly Message[]): void {
  try {
    socket.request([...before, ...routes]);
  } catch (error) {
    if (!isErrno(error, "EEXIST") || before.some(({ what }) => error.message.includes(what))) throw error;
    for (const route of routes) {
      try {
        socket.request([route]);
      } catch (again) {
        if (!isErrno(again, "EEXIST")) throw again;
      }
    }
  }
}
