import { encodeUtf8 } from "../net/bytes.ts";
import { visible } from "../net/text.ts";
import { SystemError, writeAll } from "./linux.ts";

/**
 * Says something to whoever reads standard error; where nobody can (closed, full), it stays unsaid: no operation fails
 * for that.
 */
export function complain(text: string): void {
  try {
    writeAll(2, encodeUtf8(visible(text)));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
  }
}
