import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { families } from "../../net/ip.ts";
import type { Message, Reply } from "../../netlink/message.ts";
import { decodeRoute, getRoutes, isElsewhereAt } from "../../netlink/rtnetlink/route.ts";
import { decodeRule, getRules } from "../../netlink/rtnetlink/rule.ts";

/** The tables that rules of the namespace lead to, but for the kernel's own three. */
export const tablesOfRules = (socket: NetlinkSocket): Set<number> =>
  collect(socket, families.map(getRules), decodeRule); // a rule has the byte of its table where a route has it

/** The tables that routes of the namespace are in, but for the kernel's own three. */
export const tablesOfRoutes = (socket: NetlinkSocket): Set<number> =>
  collect(
    socket,
    families.map((family) => getRoutes(family)),
    decodeRoute,
  );

function collect(
  socket: NetlinkSocket,
  lists: readonly Message[],
  decode: (reply: Reply) => { table: number } | undefined,
): Set<number> {
  const used = new Set<number>();
  for (const list of lists) {
    socket.sift(list, isElsewhereAt, (reply) => {
      const found = decode(reply);
      if (found) used.add(found.table);
    });
  }
  return used;
}
