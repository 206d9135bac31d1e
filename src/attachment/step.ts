import type { NetlinkSocket } from "../kernel/netlink.ts";
import type { Message } from "../netlink/message.ts";
import type { Step } from "./kind.ts";

/** A message as a step; `where` says in which namespace, where that is not the host's. */
export const stepOf = (socket: NetlinkSocket, message: Message, where = ""): Step => ({
  what: message.what + where,
  run: () => void socket.request([message]),
});

/** What is written anew as a whole where anything of it differs. */
export const rewriting = (differences: readonly string[], step: Step): Step[] => (differences.length > 0 ? [step] : []);

/** What stands behind the words of a step that is done in the pod. */
export const IN_POD = " in the container";
