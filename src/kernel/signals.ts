import { viewOf } from "../net/bytes.ts";
import { host } from "./host.ts";
import { check } from "./linux.ts";

/** asm-generic/signal.h */
const SIGINT = 2;
const SIGTERM = 15;

/** From now on a wish that this process ends is told by a descriptor, which has something to read then. */
export function openEndSignals(): number {
  const set = new Uint8Array(8);
  viewOf(set).setUint32(0, (1 << (SIGINT - 1)) | (1 << (SIGTERM - 1)), true);
  return check(host.signals(set), "signalfd");
}
