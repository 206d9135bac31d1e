import type { Owner } from "../attachment/attachment.ts";
import { CniError, Code, messageOf } from "../cni/error.ts";
import { monotonicMs } from "../kernel/clock.ts";
import { close, SystemError } from "../kernel/linux.ts";
import { waitForAny } from "../kernel/poll.ts";
import { findConnection } from "../kernel/socket.ts";
import { complain } from "../kernel/stderr.ts";
import { formatIp, formatPrefix, sameIp } from "../net/ip.ts";
import { runMarker } from "../node/liveness.ts";
import { type Acquired, Acquisition } from "./acquisition.ts";
import { clientText } from "./asked.ts";
import { Binding, type Keeper } from "./binding.ts";
import { Connection } from "./connection.ts";
import { ensureUp, isLinkOf, withPodLink } from "./pod-socket.ts";
import type { Answer, Request } from "./protocol.ts";
import { askedFromJson, type LeaseRecord } from "./record.ts";
import { RELEASE_MS, startRelease } from "./release.ts";
import type { LeaseStore } from "./store.ts";
import type { Pace, Task } from "./task.ts";

type Reply = (answer: Answer) => void;

/** How much longer than a lease is asked for an answer may take. */
const MARGIN_MS = 5_000;
/** Connections at once; more wait with the kernel. */
const CROWD = 256;
/** After one that could not be taken in. */
const DEAF_MS = 1_000;

const tell = (text: string): void => complain(`podwire dhcp-daemon: ${text}\n`);

/** A RELEASE until it has left. */
class Leaving implements Task {
  readonly wakeAt = monotonicMs() + RELEASE_MS;

  constructor(
    readonly fd: number,
    private readonly others: Set<Task>,
    private readonly done: () => void,
  ) {}

  wake(): void {
    close(this.fd);
    this.others.delete(this);
    this.done();
  }
}

/** Acquires leases for plugins that ask, and keeps them up: one thread, one list of what it waits for. */
export class Daemon implements Keeper {
  private readonly bindings = new Map<string, Binding>();
  private readonly acquiring = new Map<string, { acquisition: Acquisition; reply: Reply }>();
  private readonly releasing = new Set<Task>();
  private readonly connections = new Set<Connection>();
  private deafUntil = 0;

  /** `listener` and `endSignals` are open descriptors; `prefix` is put before paths of namespaces. */
  constructor(
    private readonly sockets: { listener: number; endSignals: number },
    readonly store: LeaseStore,
    readonly pace: Pace,
    readonly prefix: string,
  ) {}

  /** Until it is told to end. */
  run(): void {
    this.resume();
    while (this.turn()) for (const each of this.connections) if (each.isClosed) this.connections.delete(each);
    for (const each of this.connections) each.end();
  }

  say({ client }: Pick<LeaseRecord, "client">, text: string): void {
    complain(`${clientText(client)}: ${text}\n`);
  }

  drop(binding: Binding): void {
    binding.stop();
    const key = clientText(binding.record.client);
    if (this.bindings.get(key) !== binding) return;
    this.bindings.delete(key);
    this.store.forget(binding.record.client);
  }

  /** Leases of the daemon before this one; those of another boot are of pods that are no more. */
  private resume(): void {
    const marker = runMarker();
    for (const record of this.store.load(tell)) {
      if (record.marker !== marker && record.marker !== "" && marker !== "") this.store.forget(record.client);
      else this.bindings.set(clientText(record.client), new Binding(record, this));
    }
    const count = this.bindings.size;
    if (count > 0) tell(`goes on with ${count} lease${count === 1 ? "" : "s"}`);
  }

  /** Waits once, and wakes whom it concerns; false when it is time to end. */
  private turn(): boolean {
    const acquisitions = [...this.acquiring.values()].map(({ acquisition }) => acquisition);
    const tasks: Task[] = [...this.connections, ...acquisitions, ...this.releasing, ...this.bindings.values()];
    const { endSignals, listener } = this.sockets;
    const open = tasks.flatMap((task) => (task.fd === undefined ? [] : [{ task, fd: task.fd }]));
    const isOpen = this.connections.size < CROWD && monotonicMs() >= this.deafUntil;
    const doors = isOpen ? [endSignals, listener] : [endSignals];
    let until = isOpen ? Infinity : monotonicMs() + DEAF_MS;
    for (const { wakeAt } of tasks) until = Math.min(until, wakeAt);
    const ready = waitForAny([...doors, ...open.map(({ fd }) => fd)], until - monotonicMs());
    if (ready[0]) return false;
    const readable = new Set(open.filter((_, at) => ready[at + doors.length]).map(({ task }) => task));
    const now = monotonicMs();
    for (const task of tasks) if (readable.has(task) || now >= task.wakeAt) this.wake(task, now, readable.has(task));
    if (doors.length > 1 && ready[1]) this.welcome(now);
    return true;
  }

  /** What goes wrong with one pod, a namespace that cannot be entered or a full disk, is no other's affair. */
  private wake(task: Task, now: number, isReadable: boolean): void {
    try {
      task.wake(now, isReadable);
    } catch (error) {
      if (!(error instanceof SystemError) && !(error instanceof CniError)) throw error;
      tell(messageOf(error));
    }
  }

  private welcome(now: number): void {
    let fd: number | undefined;
    try {
      fd = findConnection(this.sockets.listener);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      tell(error.message); // EMFILE
      this.deafUntil = now + DEAF_MS;
    }
    if (fd === undefined) return;
    const within = this.pace.totalMs + MARGIN_MS;
    this.connections.add(new Connection(fd, (request, reply) => this.serve(request, reply), within, now));
  }

  /** One request; what it returns ends it where the asker has gone. */
  private serve(request: Request, reply: Reply): (() => void) | undefined {
    try {
      switch (request.verb) {
        case "ADD":
          return this.add(request, reply);
        case "CHECK":
          return this.check(request, reply);
        case "DEL":
          return void this.release([request], reply);
        case "GC":
          return void this.release(this.lost(request), reply);
        case "STATUS":
          reply(undefined);
      }
    } catch (error) {
      reply(error instanceof CniError ? error : new CniError(Code.Internal, messageOf(error)));
    }
    return undefined;
  }

  private add(request: Request, reply: Reply): (() => void) | undefined {
    const binding = this.bindings.get(clientText(request));
    const held = binding?.record;
    if (held?.lost === "" && this.isOf(held, request)) {
      reply(held.lease);
      return undefined;
    }
    if (binding) this.drop(binding); // lost, or of a pod that is no more
    return this.acquire(request, reply, undefined);
  }

  private check(request: Request, reply: Reply): (() => void) | undefined {
    const { address } = request;
    const held = this.bindings.get(clientText(request))?.record;
    // another daemon's lease, the reference's above all, is taken over: the server knows the client by its id
    if (!held) return this.acquire(request, reply, address);
    const has = formatPrefix(held.lease.address);
    const complaint = held.lost
      ? `the lease of ${has} is lost: ${held.lost}; the address was taken from the pod`
      : !this.isOf(held, request)
        ? `the lease of ${has} is of another link, which is gone`
        : address && !sameIp(address, held.lease.address.ip)
          ? `the lease is of ${has}, and prevResult says ${formatIp(address)}`
          : "";
    reply(complaint === "" ? undefined : new CniError(Code.Internal, complaint));
    return undefined;
  }

  private isOf(record: LeaseRecord, { netns, ifname }: Request): boolean {
    return withPodLink(this.prefix + netns, ifname, (link) => isLinkOf(record, link));
  }

  /** `only`: the one address the pod has already. */
  private acquire(request: Request, reply: Reply, only: Request["address"]): () => void {
    const { network, containerId, ifname, netns } = request;
    const client = { network, containerId, ifname };
    const key = clientText(client);
    if (this.acquiring.has(key)) {
      throw new CniError(Code.TryAgainLater, `a lease for ${key} is being asked for by another call`);
    }
    const now = monotonicMs();
    return withPodLink(this.prefix + netns, ifname, (link) => {
      ensureUp(link);
      const { mac, cookie } = link;
      const asked = askedFromJson(request.asked);
      const address = { isOnly: only !== undefined, ...(only && { address: only }) };
      const record = { client, netns, ...(cookie !== undefined && { cookie }), marker: runMarker(), mac, asked };
      const wish = { client, asked, ...address, began: now, deadline: now + this.pace.totalMs };
      const done = (acquired: Acquired): void => this.bind(key, record, acquired);
      const acquisition = Acquisition.over(link, wish, this.pace, done);
      this.acquiring.set(key, { acquisition, reply });
      return () => this.abandon(key, new CniError(Code.TryAgainLater, "nobody waits for it any more"));
    });
  }

  private bind(key: string, record: Omit<LeaseRecord, "lease" | "since" | "lost">, acquired: Acquired): void {
    const { reply } = this.acquiring.get(key)!;
    this.acquiring.delete(key);
    if (acquired instanceof CniError) {
      this.say(record, acquired.message);
      return reply(acquired);
    }
    const whole = { ...record, ...acquired, lost: "" };
    try {
      this.store.keep(whole);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return reply(new CniError(Code.Io, "the lease cannot be kept", error.message, { cause: error }));
    }
    this.bindings.set(key, new Binding(whole, this));
    const { address, server, seconds } = acquired.lease;
    this.say(record, `leased ${formatPrefix(address)} of ${formatIp(server)} for ${seconds} s`);
    reply(acquired.lease);
  }

  private abandon(key: string, why: CniError): void {
    const found = this.acquiring.get(key);
    if (!found) return;
    this.acquiring.delete(key);
    found.acquisition.cancel();
    found.reply(why);
  }

  /** GC: the network's that are not valid. */
  private lost({ network, valid }: Request): Owner[] {
    const kept = new Set(valid.map((each) => clientText({ network, ...each })));
    return [...this.bindings.values()]
      .map(({ record }) => record.client)
      .filter((client) => client.network === network && !kept.has(clientText(client)));
  }

  /** Gives back what they have, and answers when that is on its way. */
  private release(clients: readonly Owner[], reply: Reply): void {
    let left = 1;
    const tick = (): void => {
      left -= 1;
      if (left === 0) reply(undefined);
    };
    for (const client of clients) {
      const key = clientText(client);
      this.abandon(key, new CniError(Code.TryAgainLater, "a DEL came while the lease was being asked for"));
      const binding = this.bindings.get(key);
      // what could not be read when this daemon started is given back all the same, or at least forgotten
      const record = binding?.record ?? this.store.find(client);
      const sent = record && startRelease(record, this.prefix);
      if (typeof sent === "number") {
        left += 1;
        this.releasing.add(new Leaving(sent, this.releasing, tick));
      }
      if (binding) this.drop(binding);
      else this.store.forget(client);
      if (!record) continue;
      const address = formatPrefix(record.lease.address);
      this.say(record, typeof sent === "number" ? `released ${address}` : `forgot ${address}: ${sent}`);
    }
    tick();
  }
}
