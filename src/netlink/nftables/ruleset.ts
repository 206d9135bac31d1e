import type { Bytes } from "../codec.ts";
import type { FoundElement } from "./decode.ts";
import type { Element, Hook, SetSpec, Table } from "./object.ts";

/** A rule: the line as nft prints it, and its bytecode. */
export interface RuleSpec {
  line: string;
  expressions: Bytes;
}

/** A chain and all its rules; a base chain may hold rules of other people too, any other is ours alone. */
export interface ChainSpec {
  name: string;
  hook?: Hook;
  rules: RuleSpec[];
}

/** A member of a set by its key. */
export interface ElementRef {
  table: Table;
  set: string;
  key: Uint8Array;
}

/** An element somebody owns: `what` names it for people ("10.0.0.2 in map masquerade4"). */
export interface ElementSpec extends Element {
  set: string;
  what: string;
  comment: string;
}

/**
 * What must exist in one table: the frame (shared by all, made when missing, never removed) and the elements of one
 * owner.
 */
export interface Ruleset {
  table: Table;
  comment: string;
  sets: SetSpec[];
  /** in an order in which jumps lead to chains listed earlier */
  chains: ChainSpec[];
  elements: ElementSpec[];
  /** elements that are there for several owners: made when missing */
  shared?: ElementSpec[];
  /** chains that are ours alone get their rules anew, whatever they have: somebody changed them */
  isMended?: boolean;
  /** Decides about an element with the key of one of ours: returns for it to be replaced, throws for it to stay. */
  replace?: (found: FoundElement, wanted: ElementSpec) => void;
}
