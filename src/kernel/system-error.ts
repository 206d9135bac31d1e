import { errnoName, errnoText } from "./errno.ts";

/**
 * A system call that failed: `errno` is the number, `code` its kernel name, and the message says which call on what.
 */
export class SystemError extends Error {
  override readonly name = "SystemError";
  readonly code: string;
  constructor(
    readonly syscall: string,
    readonly errno: number,
    readonly target = "",
  ) {
    const code = errnoName(errno);
    super(`${syscall}${target && ` ${printable(target)}`}: ${errnoText(errno)} (${code})`);
    this.code = code;
  }
}

/** A path as it is; one with control characters, a NUL above all, in quotes and escaped. */
const printable = (path: string): string => (/\p{Cc}/u.test(path) ? JSON.stringify(path) : path);

/** True for a SystemError with one of the given errno names. */
export function isErrno(error: unknown, ...codes: string[]): error is SystemError {
  return error instanceof SystemError && codes.includes(error.code);
}
