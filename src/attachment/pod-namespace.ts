import { CniError, Code } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import { cookieOfSocket, inNamespace, namespaceKind, openNamespace } from "../kernel/namespace.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import * as linux from "../kernel/linux.ts";

/**
 * The pod's network namespace, open: entered to write its sysctls, spoken to from outside by a socket opened inside.
 */
export class PodNamespace {
  private opened: NetlinkSocket | undefined;

  private constructor(
    readonly path: string,
    readonly fd: number,
  ) {}

  /**
   * Opens CNI_NETNS for ADD and CHECK; CniError 4 when there is no such namespace, 8 when it is podwire's own and that
   * is not `allowOwn`.
   */
  static open(path: string, allowOwn: boolean): PodNamespace {
    const kind = judge(path);
    if (kind === "missing") {
      throw new CniError(Code.InvalidEnvironment, `CNI_NETNS ${JSON.stringify(path)}: no network namespace is there`);
    }
    if (kind === "no namespace") {
      throw new CniError(
        Code.InvalidEnvironment,
        `CNI_NETNS ${JSON.stringify(path)} is not a network namespace (a file left behind where one was mounted?)`,
      );
    }
    refuseOwn(kind, path, allowOwn);
    return new PodNamespace(path, openNamespace(path));
  }

  /** Runs `look` with the namespace at a path, whosever it is, open meanwhile; CniError 4 where there is none. */
  static use<T>(path: string, look: (pod: PodNamespace) => T): T {
    const pod = PodNamespace.open(path, true);
    try {
      return look(pod);
    } finally {
      pod.close();
    }
  }

  /** As `open` for DEL: undefined where the namespace is gone, whatever is left at its path. */
  static find(path: string, allowOwn: boolean): PodNamespace | undefined {
    const kind = namespaceKind(path);
    refuseOwn(kind, path, allowOwn);
    return kind === "own" || kind === "other" ? new PodNamespace(path, openNamespace(path)) : undefined;
  }

  /** Runs `use` inside; see `inNamespace` for what that may be. */
  enter<T>(use: () => T): T {
    try {
      return inNamespace(this.fd, use);
    } catch (error) {
      if (!linux.isErrno(error, "EPERM") || error.syscall !== "setns") throw error;
      const msg = `cannot enter CNI_NETNS ${JSON.stringify(this.path)}: podwire lacks CAP_SYS_ADMIN`;
      throw new CniError(Code.Internal, msg, error.message, { cause: error });
    }
  }

  /** An rtnetlink socket of the namespace. */
  get socket(): NetlinkSocket {
    return (this.opened ??= this.enter(() => NetlinkSocket.open(NETLINK_ROUTE)));
  }

  get cookie(): bigint | undefined {
    return cookieOfSocket(this.socket.fd);
  }

  close(): void {
    this.opened?.close();
    linux.close(this.fd);
  }
}

function judge(path: string): ReturnType<typeof namespaceKind> {
  try {
    return namespaceKind(path);
  } catch (error) {
    if (error instanceof linux.SystemError) {
      throw new CniError(Code.InvalidEnvironment, `CNI_NETNS cannot be looked at: ${error.message}`, "", {
        cause: error,
      });
    }
    throw error;
  }
}

/**
 * CniError 8 for a call that names podwire's own namespace as the pod's, unless it was told to allow that: for plugins
 * that do not open it.
 */
export const refuseOwnNamespace = ({ netns, netnsOverride }: Pick<Invocation, "netns" | "netnsOverride">): void =>
  refuseOwn(namespaceKind(netns), netns, netnsOverride);

/** True where there is a network namespace at CNI_NETNS. */
export const hasNamespace = ({ netns }: Pick<Invocation, "netns">): boolean =>
  ["own", "other"].includes(namespaceKind(netns));

function refuseOwn(kind: string, path: string, allowOwn: boolean): void {
  if (kind === "own" && !allowOwn) {
    throw new CniError(
      Code.InvalidNetns,
      `CNI_NETNS ${JSON.stringify(path)} is the network namespace podwire itself runs in: ` +
        `it would wire the host to itself`,
    );
  }
}
