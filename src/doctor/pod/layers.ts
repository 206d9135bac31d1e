import { type Finding, isFaulty } from "../finding.ts";
import type { Look } from "../look.ts";
import type { PodView } from "../pod-view.ts";
import { address } from "./address.ts";
import { bridge } from "./bridge.ts";
import { flows } from "./flows.ts";
import { forwarding } from "./forwarding.ts";
import { gateway } from "./gateway.ts";
import type { Layer } from "./layer.ts";
import { lease } from "./lease.ts";
import { link } from "./link.ts";
import { memory } from "./memory.ts";
import { namespace } from "./namespace.ts";
import { resolver } from "./resolver.ts";
import { route } from "./route.ts";
import { bandwidth, sourceRoutes, tuning, vrf } from "./chained.ts";
import { filter, masquerade, ports, spoofCheck } from "./rules.ts";

/** From top to bottom: what is broken above makes what is below it useless. */
const layers: readonly Layer[] = [
  namespace,
  link,
  bridge,
  vrf,
  bandwidth,
  address,
  lease,
  route,
  sourceRoutes,
  gateway,
  forwarding,
  masquerade,
  spoofCheck,
  ports,
  filter,
  tuning,
  flows,
  resolver,
  memory,
];

/** Everything about one attachment; below a namespace that is gone there is nothing to look at. */
export function examinePod(view: PodView, look: Look): Finding[] {
  const first = namespace(view, look);
  if (isFaulty(first)) return [...first];
  return layers.flatMap((layer) => layer(view, look));
}
