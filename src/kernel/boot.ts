import * as libc from "./libc.ts";

const MARKER_DIRECTORY = "/run/podwire";

/** When this kernel started, in nanoseconds since 1970 by today's clock (proc(5), btime). */
export function bootTime(): bigint {
  const seconds = /^btime (\d+)$/m.exec(libc.readFile("/proc/stat").toString())?.[1];
  return BigInt(seconds ?? 0) * 1_000_000_000n;
}

/**
 * A random word in /run, which dies with the boot, or with the restart of a node that is a container (kind) and keeps its
 * leases but none of its pods' namespaces. "" where /run cannot be written: then it proves nothing.
 */
export function bootMarker(): string {
  const path = `${MARKER_DIRECTORY}/marker`;
  try {
    return libc.readFile(path).toString();
  } catch (error) {
    if (!libc.isErrno(error, "ENOENT")) return "";
  }
  return makeMarker(path) ? libc.readFile(path).toString() : "";
}

/** Written beside its place and linked, so that nobody reads half a word; whoever comes second finds the first one's. */
function makeMarker(path: string): boolean {
  const word = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("hex");
  try {
    if (!libc.exists(MARKER_DIRECTORY)) libc.mkdir(MARKER_DIRECTORY, 0o755);
  } catch (error) {
    if (!libc.isErrno(error, "EEXIST")) return false;
  }
  const temporary = `${path}.${word}`;
  try {
    libc.writeFile(temporary, word, 0o644);
    libc.link(temporary, path);
    return true;
  } catch (error) {
    return libc.isErrno(error, "EEXIST");
  } finally {
    if (libc.exists(temporary)) libc.unlink(temporary);
  }
}
