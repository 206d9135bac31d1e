import { formatPodName, type PodName } from "../cni/pod-name.ts";
import { formatIp, type Ip, parseIp, sameIp } from "../net/ip.ts";

/** What of an attachment a person may call its pod by. */
export interface Named {
  owner: { containerId: string };
  pod?: PodName;
  addresses: readonly Ip[];
  netns: string;
  link?: { name: string };
  /** links of the host that the runtime's result of it names */
  linkNames?: readonly string[];
}

/** A word for a pod that is no pod's, or several pods'; the message lists them. */
export class ChoiceError extends Error {}

/** How a word may mean a pod, surest first: an exact one is never ambiguous with the beginning of another. */
const meanings: readonly ((named: Named, word: string, ip: Ip | undefined) => boolean)[] = [
  ({ pod }, word) => pod !== undefined && formatPodName(pod) === word,
  ({ owner }, word) => owner.containerId === word,
  ({ addresses }, _word, ip) => ip !== undefined && addresses.some((own) => sameIp(own, ip)),
  ({ link, linkNames }, word) => link?.name === word || linkNames?.includes(word) === true,
  ({ netns }, word) => netns !== "" && (sameFile(netns, word) || netns.endsWith(`/${word}`)),
  ({ pod }, word) => pod?.name === word,
  ({ pod }, word) => pod !== undefined && (formatPodName(pod).startsWith(word) || pod.name.startsWith(word)),
  ({ owner }, word) => owner.containerId.startsWith(word),
];

/** /var/run is a link to /run: runtimes write either. */
const sameFile = (a: string, b: string): boolean => withoutVar(a) === withoutVar(b);
const withoutVar = (path: string): string => path.replace(/^\/var\/run\//, "/run/");

/**
 * The attachments of the one pod that a person means by `namespace/pod`, the beginning of it or of its name, a
 * container id or its beginning, an address, an interface of the host, or the path or name of a namespace. Throws
 * ChoiceError.
 */
export function choosePod<N extends Named>(all: readonly N[], word: string): N[] {
  const ip = parseIp(word.replace(/\/\d+$/, ""));
  for (const means of meanings) {
    const found = all.filter((named) => word !== "" && means(named, word, ip));
    if (found.length === 0) continue;
    const pods = new Set(found.map(({ owner }) => owner.containerId));
    // all interfaces of that pod, whichever was named
    if (pods.size === 1) return all.filter(({ owner }) => pods.has(owner.containerId));
    throw new ChoiceError(`${word} may be ${listPods(found)}: say more of it`);
  }
  throw new ChoiceError(
    all.length === 0
      ? `no pod is ${word}: there is none on this node`
      : `no pod is ${word}; a pod is a namespace/name or its beginning, a container id or its beginning, an address, ` +
          `an interface of the host or a namespace; there are ${listPods(all)}`,
  );
}

/** So many pods are named where a word is none's, or several pods'. */
const LISTED = 10;

function listPods(found: readonly Named[]): string {
  const names = [...new Set(found.map((named) => `${podTitle(named)}${addressOf(named)}`))].toSorted();
  const more = names.length > LISTED ? `, and ${names.length - LISTED} more` : "";
  return names.slice(0, LISTED).join(", ") + more;
}

const addressOf = ({ addresses }: Named): string => (addresses[0] ? ` (${formatIp(addresses[0])})` : "");

/** Ids are cut to twelve characters, as runtimes show them. */
const SHORT_ID = 12;

/** A container id as people know it. */
export const shortId = (id: string): string => (id.length > 32 ? id.slice(0, SHORT_ID) : id);

/** What a person calls the pod: `namespace/name`, else its container. */
export const podTitle = ({ pod, owner }: { pod?: PodName; owner: { containerId: string } }): string =>
  pod ? formatPodName(pod) : shortId(owner.containerId);
