import type { Link } from "../../netlink/rtnetlink/link.ts";
import { isAnothersAlias } from "../owner.ts";
import type { Site } from "../site.ts";
import { aliasOf } from "./links.ts";

/** True for a link in a pod that is another attachment's: CNI_NETNS may name another pod's namespace. */
export const isAnothers = (link: Link | undefined, { host, owner }: Pick<Site, "host" | "owner">): boolean =>
  link !== undefined && isAnothersAlias(aliasOf(host, link), owner);
