import { ensureSysctl, findSysctl } from "../../kernel/sysctl.ts";
import { addAddress } from "../../netlink/rtnetlink/address.ts";
import { replaceRoute } from "../../netlink/rtnetlink/route.ts";
import type { HostPart } from "../attachment.ts";
import type { Kind } from "../kind.ts";
import { hostSide, waitForDelivery } from "../link/readiness.ts";
import { missingAddresses, missingRoutes } from "./missing.ts";

/** The host's side of the pod's addresses. It goes with the link, but for forwarding, which stays on. */
export const host: Kind<HostPart> = {
  apply({ addresses, routes, forwarding }, site, { made }) {
    const link = made.veth!;
    if (addresses.length + routes.length > 0) {
      // replaced, not added: what a pod that is gone left behind for this address must not win
      site.host.request([
        ...addresses.map(({ prefix, ...options }) => addAddress(link, prefix, options)),
        ...routes.map((route) => replaceRoute(link, route)),
      ]);
    }
    for (const family of forwarding) ensureSysctl(forwardingSysctl[family], "1");
  },

  settle({ addresses }, site) {
    waitForDelivery(
      hostSide(site),
      addresses.map(({ prefix }) => prefix.ip),
    );
  },

  compare({ addresses, routes, forwarding }, site, foreign) {
    const link = site.hostLink === undefined ? undefined : site.seenLink(site.hostLink);
    const prefixes = addresses.map(({ prefix }) => prefix);
    return [
      ...(foreign ? [] : compareForwarding(forwarding)),
      ...(link ? [...missingAddresses(site.host, link, prefixes), ...missingRoutes(site.host, link, routes)] : []),
    ];
  },
};

/** Documentation/networking/ip-sysctl.rst */
const forwardingSysctl = { 4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding" } as const;

const compareForwarding = (families: HostPart["forwarding"]): string[] =>
  families
    .filter((family) => findSysctl(forwardingSysctl[family]) !== "1")
    .map(
      (family) => `${forwardingSysctl[family].replaceAll("/", ".")} is not 1: the host does not forward IPv${family}`,
    );
