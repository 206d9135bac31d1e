import { host } from "./address/host.ts";
import { pod } from "./address/pod.ts";
import { sourceRoutes } from "./address/source-routes.ts";
import type { Part, PartName } from "./attachment.ts";
import { filter } from "./firewall/filter-part.ts";
import { masquerade } from "./firewall/masquerade-part.ts";
import { spoofCheck } from "./firewall/spoof-check-part.ts";
import type { Kind, Kinds } from "./kind.ts";
import { bridge } from "./link/bridge.ts";
import { gateways } from "./link/gateways.ts";
import { movedLink } from "./link/moved-link.ts";
import { podLink } from "./link/pod-link.ts";
import { vrf } from "./link/vrf.ts";
import { veth } from "./link/veth.ts";
import { ports } from "./ports/ports.ts";
import { bandwidth } from "./shaping/bandwidth.ts";
import { tuning } from "./tuning/tuning.ts";

const kinds: Kinds = {
  bridge,
  veth,
  podLink,
  movedLink,
  host,
  pod,
  gateways,
  masquerade,
  spoofCheck,
  ports,
  filter,
  sourceRoutes,
  bandwidth,
  tuning,
  vrf,
};

/** Every kind there is. */
export const allKinds = Object.values(kinds) as readonly Kind<Part>[];

/** What is known about parts of that kind. */
export const kindOf = (name: PartName): Kind => kinds[name] as Kind<Part>;
