import { readText } from "./file.ts";

/** When this kernel started, in nanoseconds since 1970 by today's clock (proc(5), btime). */
export function bootTime(): bigint {
  const seconds = /^btime (\d+)$/m.exec(readText("/proc/stat"))?.[1];
  return BigInt(seconds ?? 0) * 1_000_000_000n;
}
