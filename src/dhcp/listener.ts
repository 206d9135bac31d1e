import { ensureDirectory, removeFile } from "../kernel/file.ts";
import { fchmod, close, isErrno } from "../kernel/linux.ts";
import { findVariable, processId } from "../kernel/process.ts";
import { bind, connect, listen, unixAddress, unixSocket } from "../kernel/socket.ts";

/** sd_listen_fds(3): the first descriptor that is handed over. */
const FIRST_HANDED_OVER = 3;
const BACKLOG = 128;

/** Where plugins connect to; `isOwn`: made here, and so removed in the end. */
export interface Listener {
  fd: number;
  isOwn: boolean;
}

/** The socket systemd made for us (socket activation), or one of our own, in a directory that is made for it. */
export function openListener(socketPath: string): Listener {
  const handedOver = findVariable("LISTEN_PID") === `${processId()}` ? Number(findVariable("LISTEN_FDS") ?? 0) : 0;
  if (handedOver > 1) throw new Error(`Too many (${handedOver}) FDs passed through socket activation`);
  if (handedOver === 1) return { fd: FIRST_HANDED_OVER, isOwn: false };
  ensureDirectory(socketPath.slice(0, socketPath.lastIndexOf("/")), 0o700);
  clear(socketPath);
  const fd = unixSocket();
  fchmod(fd, 0o600); // of a socket that has no name yet it is the mode of the name it gets
  bind(fd, unixAddress(socketPath));
  listen(fd, BACKLOG);
  return { fd, isOwn: true };
}

/** A socket nobody listens to was left by a daemon that was killed. */
function clear(socketPath: string): void {
  const fd = unixSocket();
  try {
    connect(fd, unixAddress(socketPath));
  } catch (error) {
    if (isErrno(error, "ECONNREFUSED")) removeFile(socketPath);
    else if (!isErrno(error, "ENOENT")) throw error;
    return;
  } finally {
    close(fd);
  }
  throw new Error(`another daemon, perhaps the reference's, answers at ${socketPath}`);
}
