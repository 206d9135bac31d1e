import { fault, isFaulty, orFine, warn } from "../finding.ts";
import { linkAt, linkNamed } from "../look.ts";
import { partOf, podLink } from "../pod-view.ts";
import { differencesOf, type Layer, mendOf } from "./layer.ts";

/** The bridge the host's end is plugged into, and its port. */
export const bridge: Layer = (view, look) => {
  const wanted = partOf(view, "bridge");
  const master = linkAt(look, linkNamed(look, view.hostLink?.name)?.master);
  if (!wanted && !master) return [];
  const found = [...differencesOf(view, "bridge")];
  const there = wanted ? linkNamed(look, wanted.name) : master;
  if (there && !there.up && !found.some(({ what }) => what.includes("is down"))) {
    found.push(
      fault("bridge", `bridge ${there.name} is down`, {
        mend: view.attached.cached ? mendOf(view) : `ip link set ${there.name} up`,
      }),
    );
  }
  const mtu = podLink(view)?.mtu;
  if (there && mtu !== undefined && there.mtu < mtu && !isFaulty(found)) {
    found.push(
      warn(
        "bridge",
        `bridge ${there.name} has MTU ${there.mtu}, less than the pod's ${mtu}: what it routes may be lost`,
        {
          mend: `ip link set ${there.name} mtu ${mtu}`,
        },
      ),
    );
  }
  return orFine(found, "bridge", `port of ${there?.name ?? wanted?.name}`);
};
