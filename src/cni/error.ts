/** Error codes of the CNI specification (SPEC.md, "Error") that podwire answers with. */
export const Code = {
  IncompatibleVersion: 1,
  UnsupportedField: 2,
  UnknownContainer: 3,
  InvalidEnvironment: 4,
  Io: 5,
  Decode: 6,
  InvalidConfig: 7,
  /** The plugin and the container share a network namespace; used by the CNI library, not named by the specification. */
  InvalidNetns: 8,
  TryAgainLater: 11,
  /** STATUS: the plugin cannot serve ADD. */
  NotAvailable: 50,
  /** The CNI library's catch-all. */
  Internal: 999,
} as const;

/** A failure as a runtime hears it: a specification code (or a delegate's own), one message and, where it helps, the cause in `details`. */
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
