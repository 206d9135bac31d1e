import type { Invocation } from "../cni/invocation.ts";
import type { Log } from "../cni/log.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import type { Link } from "../netlink/rtnetlink/link.ts";
import type { Owner } from "./attachment.ts";
import type { HostView } from "./host-view.ts";
import { findLink } from "./link/links.ts";
import { ownerOf } from "./owner.ts";
import { PodNamespace } from "./pod-namespace.ts";

/** Where one call works: the host's rtnetlink socket and the pod's namespace, each opened when it is first used. */
export class Site {
  readonly owner: Owner;
  readonly log: Log;
  private socket: NetlinkSocket | undefined;
  private opened: PodNamespace | undefined;
  private readonly links = new Map<string, Link | undefined>();
  private named: { link: string | undefined } | undefined;

  /** `findHostLink` says which link of the host leads to the pod. */
  constructor(
    private readonly call: Invocation,
    private readonly findHostLink: (site: Site) => string | undefined,
    /** what was read of the host already: for who looks at many attachments, and changes none */
    readonly view?: HostView,
  ) {
    this.owner = ownerOf(call);
    this.log = call.log;
  }

  get host(): NetlinkSocket {
    return this.view?.socket ?? (this.socket ??= NetlinkSocket.open(NETLINK_ROUTE));
  }

  /** The pod's namespace; CniError where it is none, or podwire's own (allowed to CHECK, which changes nothing). */
  get pod(): PodNamespace {
    const { netns, netnsOverride, verb } = this.call;
    return (this.opened ??= PodNamespace.open(netns, netnsOverride || verb === "CHECK"));
  }

  /** As `pod` for DEL: undefined where the namespace is gone. */
  findPod(): PodNamespace | undefined {
    const { netns, netnsOverride } = this.call;
    return (this.opened ??= PodNamespace.find(netns, netnsOverride));
  }

  /** Name of the host's end of the pod's link; undefined where nobody knows it. */
  get hostLink(): string | undefined {
    return (this.named ??= { link: this.findHostLink(this) }).link;
  }

  /** A link of the host by name, asked for once: where none is changed, or `forgetSeen` follows. */
  seenLink(name: string): Link | undefined {
    return this.view ? this.view.link(name) : this.seen(this.host, name);
  }

  /** As `seenLink`, of the pod. */
  seenPodLink(name: string): Link | undefined {
    return this.seen(this.pod.socket, name);
  }

  /** Lets links be looked for again, where something was changed since. */
  forgetSeen(): void {
    this.links.clear();
    this.named = undefined;
  }

  private seen(socket: NetlinkSocket, name: string): Link | undefined {
    const key = `${socket.fd} ${name}`;
    if (!this.links.has(key)) this.links.set(key, findLink(socket, name));
    return this.links.get(key);
  }

  close(): void {
    this.socket?.close();
    this.opened?.close();
  }
}
