import type { Log } from "./log.ts";
import type { Result } from "./result.ts";

export type Verb = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

export type JsonObject = { [key: string]: unknown };

/** One call by a runtime, checked: environment, configuration as parsed JSON, and what every plugin reads from them. */
export interface Invocation {
  verb: Verb;
  /** "" for GC, STATUS and VERSION, as are netns and ifname; netns may be "" for DEL too */
  containerId: string;
  netns: string;
  ifname: string;
  /** CNI_ARGS as it came */
  args: string;
  /** CNI_PATH as it came */
  path: string;
  /** CNI_NETNS_OVERRIDE: the plugin's own namespace is allowed */
  netnsOverride: boolean;
  /** standard input, byte for byte, for a delegate */
  stdin: Uint8Array;
  /** keys as they were written; plugins read it through their schema (schema.ts) */
  config: JsonObject;
  network: string;
  cniVersion: string;
  /** decoded; absent when there was none, or (DEL only) when it could not be decoded */
  prevResult?: Result;
  /** GC: what must stay, from `cni.dev/valid-attachments` */
  validAttachments: { containerId: string; ifname: string }[];
  log: Log;
}

/** The keys that are read, at every depth: names with what is read below them; "anything" where that is not known. */
export type Known =
  | "anything"
  | {
      /** as they are spelled, and in lower case */
      names: ReadonlyMap<string, Known>;
      /** of lists, and of objects whose keys are data */
      every: Known | undefined;
      /** goes before `names`, where a value's own words say who reads another */
      first?: ReadonlyMap<string, Known>;
    };

/** A plugin by the name of its executable. Every verb throws CniError; ADD alone has something to say. */
export interface Plugin {
  readonly name: string;
  add(call: Invocation): Result;
  check(call: Invocation): void;
  del(call: Invocation): void;
  gc(call: Invocation): void;
  status(call: Invocation): void;
  /** Throws what is wrong with a configuration by itself, wherever it will be used: asks nothing of the system. */
  inspect(call: Invocation): void;
  /** The keys of a configuration that are read, by it and by what all plugins have: any other was mistyped. */
  known(config: JsonObject): Known;
  /**
   * The call its delegate gets, where it lets another plugin of podwire's do the work: of CHECK as ADD was told, of
   * STATUS as ADD would be.
   */
  delegated?(call: Invocation): { type: string; call: Invocation } | undefined;
  /** It goes on from what an earlier plugin of a list made, so it cannot be the first. */
  readonly isChained?: boolean;
}
