import { hostVethName, isAnothersAlias, linkAlias, ownerOfAlias } from "../owner.ts";
import type { Site } from "../site.ts";
import { aliasOf, findLink } from "./links.ts";

/**
 * What the network of the pod's link was called when that was made, where it is called otherwise now: by the alias of
 * the link, or of its end on the host. Undefined where there is none, too.
 */
export function formerNetwork(site: Site): string | undefined {
  const { owner, host } = site;
  if (findLink(host, hostVethName(owner))) return undefined;
  const pod = site.findPod();
  const link = pod && findLink(pod.socket, owner.ifname);
  const alias = link && aliasOf(host, link);
  const maker = alias ? ownerOfAlias(alias) : undefined;
  return maker && alias !== linkAlias(owner) && !isAnothersAlias(alias!, owner) ? maker.network : undefined;
}
