import { CniError, Code } from "../../cni/error.ts";
import type { Nftables } from "../../kernel/nftables/nftables.ts";
import { NFPROTO } from "../../netlink/nftables/match.ts";
import { formatPrefix, hostPrefix, type Ip } from "../../net/ip.ts";
import { getTool, runTool, type ToolOutcome } from "./tool.ts";

// firewalld drops what comes from no zone it trusts, in a table of its own, whatever other tables accept: pods become
// sources of a zone. It is asked over D-Bus, by systemd's busctl.

const NAME = "org.fedoraproject.FirewallD1";
const PATH = "/org/fedoraproject/FirewallD1";

/** True where firewalld has its table; where it works by iptables, iptables' rules are enough. */
export const hasFirewalld = (nft: Nftables): boolean => nft.hasTable({ family: NFPROTO.INET, name: "firewalld" });

const busctl = (code: number = Code.Internal): string => getTool("busctl", "the firewalld backend", code);

/** Throws where there is nothing to ask firewalld by. */
export const assertFirewalld = (): void => void busctl();

const call = (method: string, zone: string, ip: Ip): ToolOutcome =>
  runTool(
    busctl(),
    ["--system", "call", NAME, PATH, `${NAME}.zone`, method, "ss", zone, formatPrefix(hostPrefix(ip))],
    "",
  );

/** Makes the address a source of the zone; one that is so already is fine. */
export function addSource(zone: string, ip: Ip): void {
  const { ok, errors } = call("addSource", zone, ip);
  if (!ok && !errors.includes("ZONE_ALREADY_SET")) {
    throw new CniError(
      Code.Internal,
      `cannot add ${formatPrefix(hostPrefix(ip))} to zone ${zone} of firewalld: ${errors}`,
    );
  }
}

/** As `addSource`, the other way: one that is not there is fine, and so is a firewalld that has gone. */
export function removeSource(zone: string, ip: Ip): void {
  const { ok, errors } = call("removeSource", zone, ip);
  if (ok || /UNKNOWN_SOURCE|NOT_ENABLED|NOT_RUNNING|ServiceUnknown|NameHasNoOwner|not provided by/.test(errors)) return;
  throw new CniError(
    Code.Internal,
    `cannot take ${formatPrefix(hostPrefix(ip))} from zone ${zone} of firewalld: ${errors}`,
  );
}

/** What CHECK finds missing, in words. */
export function compareSource(zone: string, ip: Ip): string[] {
  const { ok, output, errors } = call("querySource", zone, ip);
  if (ok && output.trim() === "b true") return [];
  return [`firewalld: ${formatPrefix(hostPrefix(ip))} is no source of zone ${zone}${errors && `: ${errors}`}`];
}

/** Throws code 50 where firewalld does not answer. */
export function statusOfFirewalld(zone: string): void {
  const { ok, errors } = runTool(
    busctl(Code.NotAvailable),
    ["--system", "call", NAME, PATH, `${NAME}.zone`, "getSources", "s", zone],
    "",
  );
  if (!ok) throw new CniError(Code.NotAvailable, `firewalld does not answer for zone ${zone}: ${errors}`);
}
