import type { Ip } from "../../net/ip.ts";
import type { Owner } from "../attachment.ts";

export type Backend = "iptables" | "nftables";

/** Registers how to take back what was just made. */
export type RegisterUndo = (run: () => void) => void;

/** What DEL knows; `addresses` may be empty, then elements are found by their comments. */
export interface FirewallTraces {
  owner: Owner;
  hostVeth: string;
  addresses: Ip[];
  /** what the configuration says about masquerading: iptables is run only when it asks for that */
  backend?: Backend;
  masquerade?: boolean;
  /** absent where the configuration maps no ports */
  portMappings?: Backend;
}
