import { formatIp, formatPrefix, sameIp } from "../../net/ip.ts";
import { IFA_F } from "../../netlink/rtnetlink/address.ts";
import { fault, orFine, skip, warn } from "../finding.ts";
import { ipKey, linkAt } from "../look.ts";
import { addressSince, attachedSince } from "../since.ts";
import { podAddresses, type PodView } from "../pod-view.ts";
import { differencesOf, type Layer, mendOf } from "./layer.ts";

/** Its addresses: on its interface, and on nobody else's. */
export const address: Layer = (view, look) => {
  if (view.addresses.length === 0) return [skip("address", "it has none of its own")];
  const present = podAddresses(view);
  const found = differencesOf(view, "address");
  const mend = mendOf(view);
  for (const ip of view.addresses) {
    const text = formatIp(ip);
    const carried = present.find(({ prefix }) => sameIp(prefix.ip, ip));
    if (view.inside && !carried && !found.some(({ what }) => what.includes(`${text}/`))) {
      found.push(fault("address", `the pod does not have ${text}`, { mend }));
    }
    if (carried && carried.flags & IFA_F.DADFAILED) {
      found.push(
        fault("address", `${text} is another machine's on that link: duplicate address detection failed`, {
          mend: "take it from whoever has it, then start the pod anew",
        }),
      );
    } else if (carried && carried.flags & IFA_F.TENTATIVE) {
      found.push(warn("address", `${text} is still tentative: it answers when duplicate address detection is over`));
    }
    const holder = look.holders.get(ipKey(ip));
    if (holder) {
      const name = linkAt(look, holder.index)?.name ?? "a link";
      found.push(
        fault("address", `${text} is an address of this node too, on ${name}: nothing for it leaves the node`, {
          since: addressSince(look.host, holder),
          mend: `ip address delete ${formatPrefix(holder.prefix)} dev ${name}`,
        }),
      );
    }
    const { containerId } = view.attached.owner;
    const twin = look.owners.get(ipKey(ip))?.find(({ owner }) => owner.containerId !== containerId);
    if (twin) {
      found.push(
        fault("address", `${text} is also that of ${titleOf(twin)}`, {
          since: attachedSince(twin),
          mend: "start one of the two anew",
        }),
      );
    }
  }
  const shown = present.filter(({ prefix }) => view.addresses.some((ip) => sameIp(ip, prefix.ip)));
  return orFine(found, "address", `${shown.map(({ prefix }) => formatPrefix(prefix)).join(", ")}; nobody else has it`);
};

const titleOf = ({ pod, owner }: PodView["attached"]): string =>
  pod ? `${pod.namespace}/${pod.name}` : `container ${owner.containerId}`;
