import type { Attachment, Made, Owner, Part, PartName } from "../attachment/attachment.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { Addressing, Dns, Result, ResultInterface, ResultIp, ResultRoute } from "../cni/result.ts";
import type { Schema } from "../cni/schema.ts";

/**
 * What a plan is made for: names and MACs, chosen at ADD; at CHECK prevResult's, "" where it says none. Where nothing
 * is made yet, or any more, all MACs are "".
 */
export interface Subject {
  owner: Owner;
  netns: string;
  hostVeth: string;
  hostMac: string;
  podMac: string;
  /** of a bridge that is made, and of its VLAN interface */
  bridgeMac: string;
  vlanMac: string;
  /** at CHECK: of the ends of the link, as ADD reported it, or a plugin behind that changed it (tuning) */
  mtu?: number;
  podMtu?: number;
  /** at CHECK: the MTU of the link's master at ADD, by the attachment's record */
  masterMtu?: number;
  /** at CHECK: every interface ADD reported */
  listed: readonly ResultInterface[];
}

/** The description of an attachment, and the addresses and routes as they are reported for it. */
export interface Plan {
  attachment: Attachment;
  ips: ResultIp[];
  routes: ResultRoute[];
}

/** What every plugin that attaches pods is: from configuration and addresses to parts. Nothing of it talks to Linux. */
interface Planning<C> {
  name: string;
  /** the kinds of parts every attachment of it has, or may have in what is shared */
  kinds: readonly PartName[];
  /** the kinds only some configurations ask for */
  optional: readonly PartName[];
  /** of the configuration that `read` reads */
  schema: Schema;
  read(call: Invocation): C;
  /**
   * The parts a configuration asks for before any address is known and after all are forgotten: those of optional
   * kinds, and others that `status` or `remove` want to see.
   */
  asked(config: C): Part[];
}

/** The keys of an interface plugin that the verbs need. */
export interface InterfaceConfig {
  ipam?: { type: string };
  dns?: Partial<Dns>;
}

/** A plugin that makes the pod's interface and has its addresses from IPAM. */
export interface InterfacePlugin<C extends InterfaceConfig = InterfaceConfig> extends Planning<C> {
  needsIpam: boolean;
  /** All parts, in the order in which they are made. */
  plan(config: C, subject: Subject, addressing: Addressing): Plan;
  /** without `ipam.type` it takes the addresses and routes of an earlier plugin's result */
  takesPrevious?: boolean;
  /** the MAC asked for, if any */
  mac?(config: C): string | undefined;
  interfaces(plan: Plan, made: Made): Result["interfaces"];
}

/** A plugin that adds parts to what an earlier one of the chain made, with the addresses of prevResult. */
export interface ChainedPlugin<C = unknown> extends Planning<C> {
  /** it is about the addresses of every interface of the container, whatever their names */
  everyInterface?: boolean;
  /** All parts, in the order in which they are made; `ips` are the container's own. */
  parts(config: C, ips: readonly ResultIp[], owner: Owner): Part[];
  /** what it changes of the result it was given, if anything */
  result?(previous: Result, plan: Plan, made: Made, config: C): Result;
}
