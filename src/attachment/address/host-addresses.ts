import { CniError, Code, messageOf } from "../../cni/error.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import { isErrno } from "../../kernel/system-error.ts";
import { addAddress } from "../../netlink/rtnetlink/address.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import type { LinkAddress } from "../attachment.ts";

/** Gives a link of the node addresses; CniError 7 where IPv6 is switched off there. EEXIST where one is there. */
export function addHostAddresses(
  host: NetlinkSocket,
  link: Pick<Link, "index" | "name">,
  addresses: readonly LinkAddress[],
): void {
  try {
    host.request(addresses.map(({ prefix, ...options }) => addAddress(link, prefix, options)));
  } catch (error) {
    // addrconf_add_ifaddr of net/ipv6/addrconf.c: nothing else is EACCES
    if (!isErrno(error, "EACCES")) throw error;
    throw new CniError(
      Code.InvalidConfig,
      `IPAM gave IPv6 addresses, and link ${link.name} of the node can have none: IPv6 is switched off by sysctl ` +
        `net.ipv6.conf.${link.name}.disable_ipv6; a new link has what net.ipv6.conf.default.disable_ipv6 says`,
      messageOf(error),
    );
  }
}
