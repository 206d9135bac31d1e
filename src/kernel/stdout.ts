import { encodeUtf8 } from "../net/bytes.ts";
import { SystemError, writeAll } from "./linux.ts";
import { complain } from "./stderr.ts";

/**
 * Prints to standard output; false, with a note on standard error, where nobody reads it any more (EPIPE) or it is
 * full.
 */
export function print(text: string): boolean {
  try {
    writeAll(1, encodeUtf8(text));
    return true;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    complain(`podwire: cannot write to standard output: ${error.message}\n`);
    return false;
  }
}
