import type { Log } from "../cni/log.ts";
import type { Ip } from "../net/ip.ts";
import type { Made, Owner, Part, PartName } from "./attachment.ts";
import type { PodNamespace } from "./pod-namespace.ts";
import type { Site } from "./site.ts";
import type { Undo } from "./undo.ts";

/** Everything podwire knows about one sort of thing; nothing about it is known elsewhere. */
export interface Kind<P extends Part = Part> {
  /**
   * Throws, naming it, where a tool or kernel module is missing. Asked twice, with nothing changed by it: before IPAM
   * is asked, when the part has no addresses yet, and before anything is made, when it has.
   */
  assertTools?(part: P): void;
  /** Makes it. What it owns is registered in `undo` as it is made; shared things stay. */
  apply(part: P, site: Site, progress: Progress): void;
  /** When every part is made: waits for what comes up by itself. */
  settle?(part: P, site: Site, made: Made): void;
  /**
   * Says in words how what is there differs from the part; empty when it is as ADD made it. A `foreign` attachment was
   * made by the reference: only what every plugin would make is asked for.
   */
  compare(part: P, site: Site, foreign: boolean): string[];
  /**
   * What puts right, in order, how it differs from the part; of nothing that is not podwire's. Nothing is done before a
   * step is run. CniError where nothing can: the pod's own link is gone. A kind without this leaves it to DEL and ADD.
   */
  mend?(part: P, site: Site, mending: Mending): Step[];
  /**
   * Removes what the owner has of it; missing is success. `part` is what the configuration, which may be another one
   * by now, asks for. A kind without this makes only what is shared, or goes with the link.
   */
  remove?(traces: Traces, part: P | undefined): Found;
  /** Removes what the reference made of it; called where the attachment was not podwire's own. */
  removeReference?(traces: Traces, part: P | undefined): void;
  /** GC: removes what attachments of the network have that are not valid. */
  collect?(selection: Selection, part: P | undefined): void;
  /** What all attachments have of it on this node; for people, it may take long where there is much. */
  list?(): Rule[];
  /** Throws code 50 where this node cannot do it; changes nothing. */
  status?(part: P): void;
}

/** A rule of an attachment, as the firewall has it: the words of its comment, and the rule for people. */
export interface Rule {
  comment: string;
  what: string;
  /** the host's end of the pod's link, where the rule names it */
  link?: string;
}

/** What an ADD has come to. */
export interface Progress {
  undo: Undo;
  made: Made;
}

/** One thing that is done to an attachment to make it whole again. */
export interface Step {
  /** as an order: "set link eth0 up" */
  what: string;
  /** it is of the node, and done once for all attachments */
  isShared?: boolean;
  run(): void;
}

/** What mending a part goes by. */
export interface Mending {
  /** what `compare` says just now */
  differences: readonly string[];
  /** takes back what steps wrote, should the pod go meanwhile */
  undo: Undo;
}

/** Whose the removed thing was: podwire's own, another plugin's for the same attachment, or none that says so. */
export type Found = "own" | "foreign" | "unknown";

/** What DEL knows of an attachment; any of it but the owner may be missing. */
export interface Traces {
  owner: Owner;
  /** of the host: opened when it is asked for */
  site: Site;
  pod?: PodNamespace;
  /** the runtime says so: there is no namespace of the container any more */
  isGone?: boolean;
  /** addresses its record, lease or prevResult names */
  addresses: Ip[];
  /** by its record */
  madeIn?: MadeIn | undefined;
  /** by its record: some of it is in iptables, whatever backend the configuration names now */
  usesIptables?: boolean;
  /** MAC of the container's interface in prevResult */
  mac?: string;
  /** what the network was called when the attachment was made, where its link says so: noted by who removes it */
  former?: string;
}

/** An attachment's namespace: its path when it was made, and its SO_NETNS_COOKIE. */
export interface MadeIn {
  netns: string;
  cookie: bigint;
}

/** Which attachments GC keeps. */
export interface Selection {
  network: string;
  valid: readonly { containerId: string; ifname: string }[];
  /**
   * True where a link of the attachment's is on the host: GC has deleted those there were, so an ADD has made it since
   * the list of what is valid, and is to keep its addresses and rules.
   */
  isWired(attachment: { containerId: string; ifname: string }): boolean;
  /** as `valid`, with those that are wired, by what is on the host at that moment: for rules that name nobody whole */
  staying(): readonly { containerId: string; ifname: string }[];
  /** links of the host that are those of attachments of the network which are not valid */
  lostLinks: readonly string[];
  /** where, by their records, such attachments have links which have no end on the host */
  lostPods: readonly (MadeIn & { owner: Owner })[];
  site: Site;
  log: Log;
}

export type Kinds = { readonly [K in PartName]: Kind<Extract<Part, { kind: K }>> };
