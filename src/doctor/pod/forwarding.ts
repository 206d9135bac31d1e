import { findSysctl } from "../../kernel/sysctl.ts";
import { fault, type Finding, isFaulty, orFine, warn } from "../finding.ts";
import { linkAt, linkNamed } from "../look.ts";
import { partOf } from "../pod-view.ts";
import { differencesOf, type Layer } from "./layer.ts";

/** What the kernel must let through for it. */
export const forwarding: Layer = (view, look) => {
  const found = differencesOf(view, "forwarding");
  const name = view.hostLink?.name;
  const host = linkNamed(look, name);
  const way = linkAt(look, host?.master)?.name ?? name;
  const families = new Set(view.addresses.map(({ family }) => family));
  const routed = (partOf(view, "host")?.forwarding ?? []).length > 0;
  if (!routed || way === undefined) return found;
  const off = (path: string, what: string): Finding[] =>
    findSysctl(path) === "0"
      ? [fault("forwarding", what, { expected: "1", is: "0", mend: `sysctl -w ${path.replaceAll("/", ".")}=1` })]
      : [];
  if (!isFaulty(found)) {
    if (families.has(4)) found.push(...off(`net/ipv4/conf/${way}/forwarding`, `${way} does not forward IPv4`));
    if (families.has(6)) found.push(...off(`net/ipv6/conf/${way}/forwarding`, `${way} does not forward IPv6`));
  }
  if (families.has(6) && findSysctl(`net/ipv6/conf/${way}/disable_ipv6`) === "1") {
    found.push(
      fault("forwarding", `IPv6 is switched off on ${way}`, { mend: `sysctl -w net.ipv6.conf.${way}.disable_ipv6=0` }),
    );
  }
  if (families.has(6) && host && Number(findSysctl(`net/ipv6/conf/${host.name}/accept_ra`)) > 0) {
    found.push(
      warn("forwarding", `${host.name} takes router advertisements: the pod behind it can configure this node`, {
        mend: `sysctl -w net.ipv6.conf.${host.name}.accept_ra=0`,
      }),
    );
  }
  return orFine(
    found,
    "forwarding",
    `${[...families]
      .sort()
      .map((family) => `IPv${family}`)
      .join(" and ")} on`,
  );
};
