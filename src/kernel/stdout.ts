import { encodeUtf8 } from "../net/bytes.ts";
import { SystemError, writeAll } from "./linux.ts";
import { complain } from "./stderr.ts";

/**
 * Prints to standard output; false, with a note on standard error, where nobody reads it any more (EPIPE) or it is
 * full. What is printed for a person to look at `mayEnd` early, as in `podwire leases | head`: then nothing is said.
 */
export function print(text: string, { mayEnd = false } = {}): boolean {
  try {
    writeAll(1, encodeUtf8(text));
    return true;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (mayEnd && error.code === "EPIPE") return true;
    complain(`podwire: cannot write to standard output: ${error.message}\n`);
    return false;
  }
}
