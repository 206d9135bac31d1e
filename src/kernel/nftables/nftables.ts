import { isErrno } from "../linux.ts";
import { NETLINK_NETFILTER, NetlinkError, NetlinkSocket } from "../netlink.ts";
import type { Message } from "../../netlink/message.ts";
import {
  type Chain,
  decodeChain,
  decodeElements,
  decodeGeneration,
  decodeRule,
  type FoundElement,
  type Rule,
} from "../../netlink/nftables/decode.ts";
import { deleteTable, getTable } from "../../netlink/nftables/table.ts";
import type { ElementRef } from "../../netlink/nftables/ruleset.ts";
import { deleteElement, getElement, listElements } from "../../netlink/nftables/element.ts";
import {
  addChain,
  addTable,
  batch,
  deleteChain,
  deleteRule,
  getChain,
  type Hook,
  listChains,
  listRules,
  NFT_MSG,
  nftMessage,
  type Table,
} from "../../netlink/nftables/object.ts";

/** A deletion that meets somebody else's is tried again this often. */
const DELETE_ATTEMPTS = 5;
/** What must not meet any other change at all is tried this often. */
const QUIET_ATTEMPTS = 20;

/** A table, and the place of a base chain in it. */
export interface Frame {
  table: Table;
  hook: Hook;
}

/** The nftables of the network namespace the thread is in. */
export class Nftables {
  private constructor(readonly socket: NetlinkSocket) {}

  /** Opens, runs `use`, closes whatever happens. */
  static use<T>(use: (nft: Nftables) => T): T {
    const nft = new Nftables(NetlinkSocket.open(NETLINK_NETFILTER));
    try {
      return use(nft);
    } finally {
      nft.socket.close();
    }
  }

  /**
   * For what is removed: undefined where the kernel has no such sockets. It is left to the exit of the process: after a
   * deletion the kernel lets close(2) wait until every processor has seen it (nft_rcv_nl_event flushes the deferred
   * work, 10-20 ms), time that passes anyway while a veth goes.
   */
  static findUntilExit(): Nftables | undefined {
    try {
      return new Nftables(NetlinkSocket.open(NETLINK_NETFILTER));
    } catch (error) {
      if (isErrno(error, "EPROTONOSUPPORT", "EAFNOSUPPORT")) return undefined;
      throw error;
    }
  }

  /** Does all of it, or nothing and throws the first NetlinkError. */
  commit(messages: readonly Message[]): void {
    if (messages.length > 0) this.socket.request(batch(messages));
  }

  /**
   * Commits what `look` finds, unless anything was changed since it looked, by anybody: then it looks again; false when
   * that happened too often.
   */
  commitUnlessChanged(look: () => Message[]): boolean {
    for (let attempt = 1; attempt <= QUIET_ATTEMPTS; attempt++) {
      const generation = this.probe();
      const messages = look();
      if (messages.length === 0) return true;
      try {
        this.socket.request(batch(messages, generation));
        return true;
      } catch (error) {
        if (!isErrno(error, "ERESTART")) throw error;
      }
    }
    return false;
  }

  /** The generation of the ruleset: throws where the kernel has no nftables or we may not use it. Changes nothing. */
  probe(): number {
    const [reply] = this.socket.request([nftMessage(NFT_MSG.GETGEN, 0, 0, { what: "use nftables" })]);
    return reply ? decodeGeneration(reply) : 0;
  }

  hasTable(table: Table): boolean {
    return this.socket.find(getTable(table)) !== undefined;
  }

  /**
   * Throws where the kernel cannot hold a table of that family with such a base chain. Nothing is changed: where there
   * is no such table it is made in a transaction that cannot succeed.
   */
  probeFrame({ table, hook }: Frame): void {
    if (this.socket.find(getTable(table))) return;
    const impossible = deleteTable({ ...table, name: `${table.name}-impossible` });
    try {
      this.commit([addTable(table, ""), addChain(table, "probe", hook), impossible]);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.what === impossible.what)) throw error;
    }
  }

  findChain(table: Table, chain: string): Chain | undefined {
    const reply = this.socket.find(getChain(table, chain));
    return reply && decodeChain(reply);
  }

  chains(table: Table): Chain[] {
    return this.socket
      .dump(listChains(table))
      .map(decodeChain)
      .filter((chain) => chain.table === table.name);
  }

  findElement({ table, set, key }: ElementRef): FoundElement | undefined {
    const reply = this.socket.find(getElement(table, set, key));
    return reply && [...decodeElements(reply)][0];
  }

  /**
   * All elements of a set, none when there is no such set; with `mentions` those that have one of these byte strings in
   * key, data or comment: of thousands of other pods' elements none is decoded.
   */
  elements(table: Table, set: string, mentions?: readonly Uint8Array[]): FoundElement[] {
    return this.dump(listElements(table, set), mentions).flatMap((reply) => [...decodeElements(reply, mentions)]);
  }

  /** True where one of `elements` is wanted; those after it are not looked at. */
  hasElement(
    { table, set, mentions }: { table: Table; set: string; mentions: readonly Uint8Array[] },
    isWanted: (found: FoundElement) => boolean,
  ): boolean {
    for (const reply of this.dump(listElements(table, set), mentions)) {
      for (const found of decodeElements(reply, mentions)) if (isWanted(found)) return true;
    }
    return false;
  }

  /** The rules of a table or of one chain in order, none when it does not exist. */
  rules(table: Table, chain?: string): Rule[] {
    return this.dump(listRules(table, chain)).map(decodeRule);
  }

  /** True where a chain exists and holds something. */
  hasRules(table: Table, chain: string): boolean {
    return this.dump(listRules(table, chain)).length > 0;
  }

  private dump(message: Message, mentions?: readonly Uint8Array[]): ReturnType<NetlinkSocket["dump"]> {
    try {
      return this.socket.dump(message, mentions);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return [];
      throw error;
    }
  }

  /** True when a rule or an element leads to the chain, by what the kernel said of it. */
  isUsed(table: Table, { name, use }: Chain): boolean {
    return use > this.rules(table, name).length;
  }

  /** Deletes a chain with its rules, unless something leads to it. */
  deleteUnusedChain(table: Table, chain: string): void {
    const found = this.findChain(table, chain);
    if (!found || this.isUsed(table, found)) return;
    try {
      this.commit([deleteChain(table, chain)]);
    } catch (error) {
      if (!isErrno(error, "EBUSY", "ENOENT")) throw error;
    }
  }

  /** Deletes those of the elements that are there and that `isMine`, judged by what the kernel has now. */
  deleteElements(refs: readonly ElementRef[], isMine: (found: FoundElement) => boolean): void {
    this.commitDeletions(() => {
      const mine = refs.filter((ref) => {
        const found = this.findElement(ref);
        return found !== undefined && isMine(found);
      });
      return mine.map(({ table, set, key }) => deleteElement(table, set, key));
    });
  }

  /**
   * Deletes the rules of a table that `isMine`, judged by what the kernel has now; none where there is no such table.
   */
  deleteRules(table: Table, isMine: (rule: Rule) => boolean): void {
    this.commitDeletions(() =>
      this.rules(table)
        .filter(isMine)
        .map(({ chain, handle }) => deleteRule(table, chain, handle)),
    );
  }

  /** Commits what `look` finds to delete. */
  private commitDeletions(look: () => Message[]): void {
    for (let attempt = 1; ; attempt++) {
      const deletions = look();
      try {
        return this.commit(deletions);
      } catch (error) {
        // somebody deleted one of them since we looked: look again
        if (attempt === DELETE_ATTEMPTS || !isErrno(error, "ENOENT")) throw error;
      }
    }
  }

  /** As `deleteElements`, for whatever `isMine` in whole sets. */
  deleteFromSets(sets: readonly { table: Table; set: string }[], isMine: (found: FoundElement) => boolean): void {
    const refs = sets.flatMap(({ table, set }) =>
      this.elements(table, set)
        .filter(isMine)
        .map(({ key }) => ({ table, set, key })),
    );
    this.deleteElements(refs, isMine);
  }
}
