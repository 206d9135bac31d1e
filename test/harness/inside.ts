import { host } from "./host.ts";

const O_CLOEXEC = 0o2000000;

function open(path: string): number {
  const fd = host.open(path, O_CLOEXEC, 0);
  if (fd < 0) throw new Error(`${path}: errno ${-fd}`);
  return fd;
}

/**
 * Does something in a network namespace, given by its path: a namespace belongs to a thread, and nothing else runs on
 * this one meanwhile, as long as `act` waits for nothing.
 */
export function inNamespace<T>(netns: string | undefined, act: () => T): T {
  if (netns === undefined) return act();
  const [back, there] = [open("/proc/thread-self/ns/net"), open(netns)];
  try {
    const result = host.setns(there, 0);
    if (result < 0) throw new Error(`setns to ${netns}: errno ${-result}`);
    return act();
  } finally {
    // where there is no way back, nothing may go on here
    if (host.setns(back, 0) < 0) process.exit(1);
    host.close(there);
    host.close(back);
  }
}
