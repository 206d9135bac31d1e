import { fault, type Finding, orFine, skip } from "../finding.ts";
import { linkNamed } from "../look.ts";
import { partOf, podLink } from "../pod-view.ts";
import { carrierSince } from "../since.ts";
import { differencesOf, inPod, type Layer, mendOf } from "./layer.ts";

/** Both ends of the pair: there, up, of one MTU, with a carrier. */
export const link: Layer = (view, look) => {
  const [host, pod] = [view.hostLink && linkNamed(look, view.hostLink.name), podLink(view)];
  const { ifname } = view.attached.owner;
  const found = differencesOf(view, "link");
  const says = (words: string): boolean => found.some(({ what }) => what.includes(words));
  const mend = mendOf(view);
  const tunedMtu = partOf(view, "tuning")?.link.mtu;
  const more: Finding[] = [
    ...(view.inside && !pod && !says(`link ${ifname} does not exist`)
      ? [fault("link", `the pod has no interface ${ifname}`, { mend })]
      : []),
    ...(pod && !pod.up && !says("is down") && partOf(view, "veth")?.up !== false
      ? [
          fault("link", `${ifname} is down in the pod`, {
            mend: view.attached.cached ? mend : `${inPod(view)} ip link set ${ifname} up`,
          }),
        ]
      : []),
    ...(host && !host.up && !says(`${host.name} on the host is down`)
      ? [fault("link", `${host.name} is down on the host`, { mend: `podwire repair ${view.title}` })]
      : []),
    ...(host && pod && host.mtu !== pod.mtu && pod.mtu !== tunedMtu && !says("MTU")
      ? [
          fault("link", `the two ends have different MTUs: what is larger than the smaller one is lost`, {
            expected: `${host.mtu} on both`,
            is: `${ifname} ${pod.mtu}, ${host.name} ${host.mtu}`,
            mend,
          }),
        ]
      : []),
    ...(host && pod && host.up && pod.up && host.operState !== "up" && partOf(view, "veth")?.up !== false
      ? [fault("link", `${host.name} is up but has no carrier`, { is: host.operState, mend })]
      : []),
  ];
  if (pod && !host && pod.kind === "veth" && more.length + found.length === 0) {
    return [skip("link", `${ifname} leads to no link of this node`)];
  }
  const up = host || !pod ? "both ends up" : `${ifname} is up`;
  const timed = (finding: Finding): Finding =>
    host && / is down|no carrier/.test(finding.what)
      ? { ...finding, since: carrierSince(look.host, host.name) }
      : finding;
  return orFine([...found, ...more].map(timed), "link", `${up}, MTU ${pod?.mtu ?? host?.mtu ?? "unknown"}`);
};
