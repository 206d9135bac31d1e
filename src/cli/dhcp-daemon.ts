import { Daemon } from "../dhcp/daemon.ts";
import { openListener } from "../dhcp/listener.ts";
import { LeaseStore } from "../dhcp/store.ts";
import type { Pace } from "../dhcp/task.ts";
import { DEFAULT_SOCKET } from "../ipam/dhcp-config.ts";
import { removeFile, writeFile } from "../kernel/file.ts";
import { processId } from "../kernel/process.ts";
import { openEndSignals } from "../kernel/signals.ts";
import { complain } from "../kernel/stderr.ts";
import { type Given, UsageError } from "./arguments.ts";
import { command } from "./command.ts";

const options = {
  "--socketpath": { value: "PATH", about: `where plugins connect to (${DEFAULT_SOCKET}); leases are kept beside it` },
  "--hostprefix": { value: "DIR", about: "put before that path, and before those of namespaces" },
  "--pidfile": { value: "PATH", about: "where the number of this process is written, for as long as it runs" },
  "--timeout": { value: "TIME", about: "how long the first question waits for its answer, such as 500ms or 4s (4s)" },
  "--resendmax": { value: "TIME", about: "with each question that wait doubles, up to this (62s)" },
  "--resendtimeout": { value: "TIME", about: "how long a lease is asked for at all (208s)" },
  "--broadcast": { about: "ask servers to broadcast their answers (always done for ipvlan)" },
} as const;

type Request = Given<keyof typeof options>;

/** `podwire dhcp-daemon`: leases for pods whose configuration has `"ipam": {"type": "dhcp"}`. */
export const dhcpDaemon = command({
  name: "dhcp-daemon",
  summary: "acquire DHCP leases for pods, and keep them up",
  about: [
    "Runs until it is ended. Plugins whose ipam.type is dhcp ask it for a lease for their pod's link; it renews what " +
      "it gave them, and gives it back when they ask. What happens is said on standard error.",
    "Leases are kept on disk: a daemon that is started again goes on with them. systemd can start it when the first " +
      "plugin connects, by conf/podwire-dhcp.socket and conf/podwire-dhcp.service.",
  ],
  root: "enter namespaces and open sockets in them",
  options,
  say(given) {
    serve(given);
    return { text: "", facts: {} };
  },
});

function serve(given: Request): void {
  const prefix = given.find("--hostprefix") ?? "";
  const socketPath = prefix + absolute(given, "--socketpath", DEFAULT_SOCKET);
  const pidFile = given.has("--pidfile") ? absolute(given, "--pidfile", "") : undefined;
  const pace = paceOf(given);
  const store = LeaseStore.of(socketPath);
  if (!store.claim()) throw new Error(`another podwire dhcp-daemon keeps the leases of ${socketPath}`);
  const endSignals = openEndSignals();
  const { fd: listener, isOwn } = openListener(socketPath);
  if (pidFile !== undefined) writeFile(pidFile, `${processId()}`, 0o644);
  try {
    complain(`podwire dhcp-daemon: listens at ${socketPath}\n`);
    new Daemon({ listener, endSignals }, store, pace, prefix).run();
  } finally {
    if (isOwn) removeFile(socketPath);
    if (pidFile !== undefined) removeFile(pidFile);
  }
}

function paceOf(given: Request): Pace {
  return {
    firstMs: duration(given, "--timeout", "4s"),
    longestMs: duration(given, "--resendmax", "62s"),
    totalMs: duration(given, "--resendtimeout", "208s"),
    broadcast: given.has("--broadcast"),
  };
}

function absolute(given: Request, name: keyof typeof options, otherwise: string): string {
  const path = given.find(name) ?? otherwise;
  if (path.startsWith("/")) return path;
  throw new UsageError(`${name} is ${JSON.stringify(path)}, must be an absolute path`);
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const LONGEST_MS = 24 * units["h"]!;

/** Milliseconds of a time as Go writes it, `1m30s`. */
function duration(given: Request, name: keyof typeof options, otherwise: string): number {
  const text = given.find(name) ?? otherwise;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit!]!, 0);
  if (parts.map(([all]) => all).join("") === text && ms >= 1 && ms <= LONGEST_MS) return ms;
  throw new UsageError(
    `${name} is ${JSON.stringify(text)}, must be a time from 1ms to 24h, such as 500ms, 4s or 1m30s`,
  );
}
