/** What speaks for a pod being there or gone; what nobody can tell is undefined. */
export interface Evidence {
  /** name of a link of the host that is the attachment's */
  link?: string | undefined;
  /** podwire itself noted what follows when it made the attachment */
  recorded: boolean;
  /** the namespace at the path that was noted is the pod's own, another one, or none */
  netns?: "own" | "other" | "missing" | undefined;
  /** the node was started, or its container restarted, since */
  restarted?: boolean | undefined;
  /** an address of it that a link or route of the host carries */
  addressInUse?: string | undefined;
  /** its lease is older than the boot */
  olderThanBoot?: boolean | undefined;
  /** its link has no end on the host (macvlan), and lives as long as the namespace */
  inPodAlone?: boolean | undefined;
  /** there are rules of it and nothing else: no record, lease or memory of the runtime's */
  onlyRules: boolean;
  /** whether the host has a link of it is known, so that its absence says something */
  linkKnown: boolean;
}

/** A judgement with what it rests on, for people. */
export interface Judgement {
  state: "live" | "gone" | "unknown";
  proof: string;
}

/** What is said of a lease, and of the address in it. */
export const words = {
  older: "its lease is older than the boot",
  younger: "its lease is younger than the boot",
  unused: "nothing carries its address",
} as const;

const left = {
  missing: "its namespace and link are gone",
  other: "its link is gone, and another namespace is at its path",
} as const;

/** Whether an attachment's pod is gone: only a proof counts, and a link that lives outweighs any. */
export function judge({
  link,
  recorded,
  netns,
  restarted,
  addressInUse,
  olderThanBoot,
  onlyRules,
  linkKnown,
  inPodAlone,
}: Evidence): Judgement {
  if (link !== undefined) return { state: "live", proof: `its link ${link} is there` };
  if (inPodAlone && netns === "own") return { state: "live", proof: "its namespace is there" };
  const isLeft = netns === "missing" || netns === "other";
  if (linkKnown && isLeft && (recorded || addressInUse === undefined)) return { state: "gone", proof: left[netns] };
  if (linkKnown && restarted) return { state: "gone", proof: "its link is gone, and the node was restarted since" };
  if (addressInUse !== undefined) return { state: "live", proof: `a link or route of the node has ${addressInUse}` };
  if (linkKnown && onlyRules) return { state: "gone", proof: "its link is gone, and nothing is left of it but rules" };
  if (olderThanBoot) return { state: "gone", proof: `${words.older}, and ${words.unused}` };
  const told = [
    netns === "own" ? "its namespace is there" : netns === undefined ? "its namespace is not known" : "",
    linkKnown ? "its link is gone" : "its link is not known",
    words.unused,
    olderThanBoot === false ? words.younger : "",
  ];
  return { state: "unknown", proof: told.filter(Boolean).join(", ") };
}
