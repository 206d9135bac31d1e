import type { Owner } from "../attachment/attachment.ts";
import { CniError, Code } from "../cni/error.ts";
import { close, SystemError } from "../kernel/linux.ts";
import { randomFraction, randomWord } from "../kernel/random.ts";
import { send } from "../kernel/socket.ts";
import { formatIp, type Ip, sameIp } from "../net/ip.ts";
import { type Asked, optionsOf, type Saying } from "./asked.ts";
import { type Lease, toLease } from "./lease.ts";
import { type Answer, decodeMessage, describeNak, encodeMessage, MessageType } from "./message.ts";
import { findAddress, Option } from "./options.ts";
import { decodeFrame, encodeFrame } from "./packet.ts";
import { openPacketSocket, type PodLink, receive } from "./pod-socket.ts";
import type { Pace, Task } from "./task.ts";

/** What a link is to be given. */
export interface Wish {
  client: Owner;
  asked: Asked;
  /** an address to ask for; `isOnly`: no other will do */
  address?: Ip;
  isOnly: boolean;
  /** when this began, and when to give up */
  began: number;
  deadline: number;
}

interface Goal extends Wish {
  mac: string;
  /** answers have to be broadcast */
  broadcast: boolean;
}

/** A lease and when it was asked for, or why there is none. */
export type Acquired = { lease: Lease; since: number } | CniError;

/** An offer that was not confirmed is asked for so often before another one is looked for. */
const REQUESTS = 3;
/** After a refusal, lest two that disagree keep each other busy. */
const PAUSE_MS = 1_000;
/** So many frames are looked at before others have their turn. */
const FRAMES = 64;

/** From the first DISCOVER to the ACK (RFC 2131, 3.1 and 4.4.1), over a packet socket of the link. */
export class Acquisition implements Task {
  wakeAt: number;
  private readonly began: number;
  private xid = 0;
  private offer: { answer: Answer; lease: Lease } | undefined;
  /** of the message that is being repeated */
  private tries = 0;
  private discovers = 0;
  private since = 0;
  /** what went wrong last, for whoever is told that there is no lease */
  private trouble = "";
  /** an offer that is none: the wait for a better one is the last */
  private isHopeless = false;
  private isOver = false;

  /** Over a socket of the link's own, which is closed in the end; `done` is called once, unless `cancel` was. */
  static over(link: PodLink, wish: Wish, pace: Pace, done: (acquired: Acquired) => void): Acquisition {
    const broadcast = pace.broadcast || link.kind === "ipvlan";
    return new Acquisition(openPacketSocket(link), { ...wish, mac: link.mac, broadcast }, pace, done);
  }

  private constructor(
    readonly fd: number,
    private readonly goal: Goal,
    private readonly pace: Pace,
    private readonly done: (acquired: Acquired) => void,
  ) {
    this.began = goal.began;
    this.wakeAt = goal.began;
  }

  wake(now: number, isReadable: boolean): void {
    for (let frames = 0; isReadable && frames < FRAMES && !this.isOver; frames++) {
      const frame = receive(this.fd);
      if (!frame) break;
      const payload = decodeFrame(frame);
      const answer = payload && decodeMessage(payload);
      if (answer && answer.xid === this.xid && answer.mac === this.goal.mac) this.take(answer, now);
    }
    if (!this.isOver && now >= this.wakeAt) this.goOn(now);
  }

  cancel(): void {
    if (!this.isOver) close(this.fd);
    this.isOver = true;
    this.wakeAt = Infinity;
  }

  private end(acquired: Acquired): void {
    this.isOver = true;
    this.wakeAt = Infinity;
    try {
      this.done(acquired);
    } finally {
      close(this.fd); // after the answer: the kernel waits for callbacks (RCU), some 12 ms
    }
  }

  private goOn(now: number): void {
    if (now >= this.goal.deadline || (this.isHopeless && !this.offer)) return this.end(this.failure(now));
    if (this.offer && this.tries < REQUESTS) return this.request(now);
    if (this.offer) this.trouble = `${this.named(this.offer.lease)} was offered and not confirmed`;
    this.discover(now);
  }

  private named({ server, address }: Lease): string {
    return `${formatIp(address.ip)} of server ${formatIp(server)}`;
  }

  private failure(now: number): CniError {
    const seconds = Math.round((now - this.began) / 1000);
    const why = this.trouble || `no server answered ${this.discovers} DISCOVERs in ${seconds} s`;
    const code = this.isHopeless ? Code.Internal : Code.TryAgainLater;
    return new CniError(code, `DHCP gave link ${this.goal.client.ifname} no lease: ${why}`);
  }

  private discover(now: number): void {
    this.offer = undefined;
    this.tries = 0;
    this.xid = randomWord();
    const { address } = this.goal;
    this.say({ type: "DISCOVER", ...(address && { address }) }, now, this.discovers);
    this.discovers += 1;
  }

  private request(now: number): void {
    const { server, address } = this.offer!.lease;
    this.since = now;
    this.say({ type: "REQUEST", server, address: address.ip }, now, this.tries);
    this.tries += 1;
  }

  private say(saying: Saying, now: number, repeated: number): void {
    const { client, asked, mac, broadcast, deadline } = this.goal;
    const options = optionsOf(client, asked, saying);
    const seconds = Math.floor((now - this.began) / 1000);
    try {
      send(this.fd, encodeFrame(mac, encodeMessage({ xid: this.xid, seconds, broadcast, mac, options })));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.trouble = `what is to be said cannot be sent (${error.message})`;
    }
    const wait = Math.min(this.pace.firstMs * 2 ** repeated, this.pace.longestMs);
    // RFC 2131, 4.1: many that begin at once are not to ask at once again and again
    this.wakeAt = Math.min(now + wait * (0.9 + 0.2 * randomFraction()), deadline);
  }

  private take(answer: Answer, now: number): void {
    if (answer.type === MessageType.OFFER && !this.offer) return this.takeOffer(answer, now);
    if (!this.offer) return;
    const server = findAddress(answer.options, Option.SERVER_ID);
    if (!server || !sameIp(server, this.offer.lease.server)) return;
    if (answer.type === MessageType.NAK) this.takeRefusal(answer, now);
    if (answer.type === MessageType.ACK) this.takeLease(answer);
  }

  private takeOffer(answer: Answer, now: number): void {
    const lease = toLease(answer);
    const { address, isOnly } = this.goal;
    if (typeof lease === "string") {
      const server = findAddress(answer.options, Option.SERVER_ID);
      this.trouble = `what server ${server ? formatIp(server) : "(unnamed)"} offers is none: ${lease}`;
      this.isHopeless = true;
    } else if (isOnly && !(address && sameIp(address, lease.address.ip))) {
      this.trouble = `${this.named(lease)} is offered in place of ${address ? formatIp(address) : "it"}`;
    } else {
      this.offer = { answer, lease };
      this.tries = 0;
      this.request(now);
    }
  }

  private takeRefusal(answer: Answer, now: number): void {
    this.trouble = `${this.named(this.offer!.lease)} was offered, then refused (${describeNak(answer)})`;
    this.offer = undefined;
    this.wakeAt = Math.min(now + PAUSE_MS, this.goal.deadline);
  }

  /** What the server does not repeat of its offer still holds. */
  private takeLease(answer: Answer): void {
    const offered = this.offer!;
    const lease = toLease({ ...answer, options: new Map([...offered.answer.options, ...answer.options]) });
    if (typeof lease === "string" || !sameIp(lease.address.ip, offered.lease.address.ip)) return;
    this.end({ lease, since: this.since });
  }
}
