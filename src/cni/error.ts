/** Error codes of the CNI specification (SPEC.md, "Error") that podwire answers with. */
export const Code = {
  IncompatibleVersion: 1,
  UnsupportedField: 2,
  UnknownContainer: 3,
  InvalidEnvironment: 4,
  Io: 5,
  Decode: 6,
  InvalidConfig: 7,
  /**
   * The plugin and the container share a network namespace; used by the CNI library, not named by the specification.
   */
  InvalidNetns: 8,
  TryAgainLater: 11,
  /** STATUS: the plugin cannot serve ADD. */
  NotAvailable: 50,
  /** The CNI library's catch-all. */
  Internal: 999,
} as const;

/** Errors of the system that go away by themselves. */
const passing = ["EAGAIN", "ENOMEM", "ENFILE", "EMFILE", "ENOBUFS", "ETXTBSY"];

/** TryAgainLater for an error of the system that goes away by itself, whatever failed with it; else the code given. */
export const codeFor = (error: unknown, otherwise: number): number =>
  passing.includes((error as { code?: string } | null)?.code ?? "") ? Code.TryAgainLater : otherwise;

/** What an engine without memory throws is `null`: it has none for an error. */
export const OUT_OF_MEMORY = "podwire ran out of memory";

/** What a caught value says, in words. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message || error.name : error === null ? OUT_OF_MEMORY : String(error);

/**
 * A failure as a runtime hears it: a specification code (or a delegate's own), one message and, where it helps, the
 * cause in `details`.
 */
export class CniError extends Error {
  override readonly name = "CniError";

  constructor(
    readonly code: number,
    message: string,
    readonly details = "",
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** For an ADD that finds gone what it made, and the failure that came of it. */
export const removedMeanwhile = (what: string, cause?: unknown): CniError =>
  new CniError(
    Code.TryAgainLater,
    `${what} was removed while the attachment was being made, as by a GC`,
    cause === undefined ? "" : messageOf(cause),
  );
