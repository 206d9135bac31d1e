import { CniError } from "../cni/error.ts";
import { monotonicMs } from "../kernel/clock.ts";
import { close, isErrno, SystemError } from "../kernel/linux.ts";
import { randomWord } from "../kernel/random.ts";
import { ipv4Address, sendTo } from "../kernel/socket.ts";
import { formatIp, formatPrefix, type Ip, parseIp, sameIp } from "../net/ip.ts";
import { deleteAddress } from "../netlink/rtnetlink/address.ts";
import { type Acquired, Acquisition } from "./acquisition.ts";
import { optionsOf } from "./asked.ts";
import { timesOf } from "./lease.ts";
import { type Answer, decodeMessage, describeNak, encodeMessage, MessageType } from "./message.ts";
import { findAddress, Option } from "./options.ts";
import { decodeFrame, SERVER_PORT } from "./packet.ts";
import { isLinkOf, openPacketSocket, openUdpSocket, type PodLink, receive, withPodLink } from "./pod-socket.ts";
import type { LeaseRecord } from "./record.ts";
import type { LeaseStore } from "./store.ts";
import type { Pace, Task } from "./task.ts";

/** What a lease's upkeep needs of the daemon. */
export interface Keeper {
  readonly store: LeaseStore;
  readonly pace: Pace;
  /** put before paths of namespaces */
  readonly prefix: string;
  say(record: LeaseRecord, text: string): void;
  /** the lease is nobody's any more: the pod is gone */
  drop(binding: Binding): void;
}

/** Sockets are open so long after a question; who answers later is asked again. */
const LISTEN_MS = 10_000;
/** Until what could not be done to the pod is tried again. */
const REST_MS = 1_000;
const BROADCAST = parseIp("255.255.255.255")!;

/**
 * A lease that is held: renewed at T1 with the server that gave it, at T2 with whoever answers (RFC 2131, 4.4.5), asked
 * for again where a server says no, and taken from the pod when it is over. Between its times nothing is open.
 */
export class Binding implements Task {
  /** hears what is said to the link, to its address or to all: a NAK is broadcast */
  fd: number | undefined;
  wakeAt = 0;
  private sender: number | undefined;
  private askAt: number;
  private silentAt = Infinity;
  private restUntil = 0;
  private xid = 0;
  private askedAt = 0;
  private again: Acquisition | undefined;

  constructor(
    readonly record: LeaseRecord,
    private readonly keeper: Keeper,
  ) {
    this.askAt = this.renewsAt;
    this.schedule();
  }

  private at(seconds: number): number {
    return this.record.since + seconds * 1000;
  }
  private get renewsAt(): number {
    return this.at(this.record.lease.renewAfter);
  }
  private get rebindsAt(): number {
    return this.at(this.record.lease.rebindAfter);
  }
  private get expiresAt(): number {
    return this.at(this.record.lease.seconds);
  }

  private schedule(): void {
    const { again } = this;
    if (again) {
      this.fd = again.fd;
      this.wakeAt = again.wakeAt;
    } else if (this.record.lost) this.wakeAt = Infinity;
    else this.wakeAt = Math.max(this.restUntil, Math.min(this.askAt, this.silentAt, this.expiresAt));
  }

  wake(now: number, isReadable: boolean): void {
    try {
      if (this.again) return this.again.wake(now, isReadable);
      if (isReadable) this.listen(now);
      if (now >= this.silentAt) this.silence();
      if (this.again || this.record.lost) return;
      if (now >= this.expiresAt) this.lose("it is over, and no server renewed it", now);
      else if (now >= this.askAt) this.ask(now);
    } finally {
      this.schedule();
    }
  }

  /** Ends the upkeep; the lease stays as it is. */
  stop(): void {
    this.again?.cancel();
    if (!this.again) this.silence();
    this.again = undefined;
    this.fd = undefined;
    this.wakeAt = Infinity;
  }

  private silence(): void {
    for (const fd of [this.fd, this.sender]) if (fd !== undefined) close(fd);
    this.fd = undefined;
    this.sender = undefined;
    this.silentAt = Infinity;
  }

  /** Runs `use` with the pod's link; undefined where it cannot be reached now, or is gone, which is the end of this. */
  private withLink<T>(use: (link: PodLink) => T): T | undefined {
    const { record, keeper } = this;
    const { netns, client } = record;
    try {
      return withPodLink(keeper.prefix + netns, client.ifname, (link) => {
        if (isLinkOf(record, link)) return use(link);
        throw new CniError(0, "its link is another one now");
      });
    } catch (error) {
      // one that could not be looked at or entered just now is not gone
      if (error instanceof CniError && error.cause === undefined) {
        keeper.drop(this);
        keeper.say(record, `the pod is gone, and the lease with it: ${error.message}`);
      } else if (error instanceof CniError || error instanceof SystemError) {
        keeper.say(record, `its pod cannot be reached now: ${error.message}`);
      } else throw error;
      return undefined;
    }
  }

  private ask(now: number): void {
    const { record, keeper } = this;
    const isRebinding = now >= this.rebindsAt;
    const end = isRebinding ? this.expiresAt : this.rebindsAt;
    // half of what is left (RFC 2131, 4.4.5), within bounds: a server that comes back is to be found soon
    const { firstMs, longestMs } = keeper.pace;
    this.askAt = Math.min(now + Math.max(Math.min((end - now) / 2, longestMs), firstMs), end);
    // a DEL that found no daemon gave it back
    if (!keeper.store.has(record.client)) return keeper.drop(this);
    this.silence();
    const { client, asked, mac, lease } = record;
    this.withLink((link) => {
      this.sender = openUdpSocket(link, lease.address.ip);
      this.fd = openPacketSocket(link);
    });
    if (this.fd === undefined) return this.silence();
    this.xid = randomWord();
    this.askedAt = now;
    this.silentAt = now + LISTEN_MS;
    const options = optionsOf(client, asked, { type: "REQUEST" });
    const clientAddress = lease.address.ip;
    const message = encodeMessage({ xid: this.xid, seconds: 0, broadcast: false, clientAddress, mac, options });
    try {
      sendTo(this.sender!, message, ipv4Address(isRebinding ? BROADCAST : lease.server, SERVER_PORT));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      keeper.say(record, `cannot ask ${isRebinding ? "any server" : formatIp(lease.server)}: ${error.message}`);
      this.silence();
    }
  }

  private listen(now: number): void {
    const frame = this.fd === undefined ? undefined : receive(this.fd);
    const payload = frame && decodeFrame(frame);
    const answer = payload && decodeMessage(payload);
    if (!answer || answer.xid !== this.xid || answer.mac !== this.record.mac) return;
    const server = findAddress(answer.options, Option.SERVER_ID);
    const isAsked = server && (this.askedAt >= this.rebindsAt || sameIp(server, this.record.lease.server));
    if (!isAsked) return;
    if (answer.type === MessageType.ACK) this.renew(answer, server);
    if (answer.type === MessageType.NAK) this.askAnew(answer, now);
  }

  private renew(answer: Answer, server: Ip): void {
    const { record, keeper } = this;
    const { lease } = record;
    if (!sameIp(answer.yourAddress, lease.address.ip)) {
      keeper.say(record, `a server renewed it as ${formatIp(answer.yourAddress)}: no pod's address changes`);
      return;
    }
    this.hold({ ...lease, server, ...timesOf(answer.options) }, this.askedAt);
  }

  private hold(lease: LeaseRecord["lease"], since: number): void {
    const { record, keeper } = this;
    record.lease = lease;
    record.since = since;
    this.silence();
    this.askAt = this.renewsAt;
    keeper.say(record, `renewed ${formatPrefix(lease.address)} by ${formatIp(lease.server)} for ${lease.seconds} s`);
    keeper.store.keep(record);
  }

  /** The server knows the lease no more: perhaps it can be had anew, while the pod still has it. */
  private askAnew(answer: Answer, now: number): void {
    const { record, keeper } = this;
    keeper.say(record, `the server refuses to renew it (${describeNak(answer)}); asking anew`);
    this.silence();
    const { client, asked, lease } = record;
    const deadline = Math.min(this.expiresAt, now + keeper.pace.totalMs);
    const wish = { client, asked, address: lease.address.ip, isOnly: true, began: now, deadline };
    this.again = this.withLink((link) =>
      Acquisition.over(link, wish, keeper.pace, (acquired) => this.endAgain(acquired)),
    );
  }

  private endAgain(acquired: Acquired): void {
    this.again = undefined;
    this.fd = undefined;
    if (acquired instanceof CniError) this.lose(acquired.message, monotonicMs());
    else {
      // the pod was wired by what the first answer said
      const { address, gateway, routes } = this.record.lease;
      this.hold({ ...acquired.lease, address, ...(gateway && { gateway }), routes }, acquired.since);
    }
  }

  /** The address may be another's from now on (RFC 2131, 4.4.5): the pod must not have it. */
  private lose(why: string, now: number): void {
    const { record, keeper } = this;
    this.silence();
    const { address } = record.lease;
    const isTaken = this.withLink((link) => {
      try {
        link.pod.socket.request([deleteAddress(link, address)]);
      } catch (error) {
        if (!isErrno(error, "EADDRNOTAVAIL")) throw error;
      }
      return true;
    });
    if (!isTaken) {
      this.restUntil = now + REST_MS;
      return;
    }
    record.lost = why;
    keeper.say(record, `the lease of ${formatPrefix(address)} is lost: ${why}; the address was taken from the pod`);
    keeper.store.keep(record);
  }
}
