import { readFile } from "./file.ts";

/** When this kernel started, in nanoseconds since 1970 by today's clock (proc(5), btime). */
export function bootTime(): bigint {
  const seconds = /^btime (\d+)$/m.exec(readFile("/proc/stat").toString())?.[1];
  return BigInt(seconds ?? 0) * 1_000_000_000n;
}
