import { receiveNow } from "../kernel/socket.ts";
import { concatBytes, decodeUtf8 } from "../net/bytes.ts";

const NEWLINE = 10;
const CHUNK = 16 << 10;

/** Lines from a socket, of bounded length. */
export class LineReader {
  private held: Uint8Array = new Uint8Array(0);
  /** the other end has no more to say, or said more than a line may have */
  isAtEnd = false;

  constructor(
    private readonly fd: number,
    private readonly longest: number,
  ) {}

  /** The next line without its newline; undefined where it is not all there yet, or never will be (`isAtEnd`). */
  next(): string | undefined {
    for (;;) {
      const end = this.held.indexOf(NEWLINE);
      if (end >= 0) {
        const line = decodeUtf8(this.held.subarray(0, end));
        this.held = this.held.slice(end + 1);
        return line;
      }
      if (this.isAtEnd || !this.more()) return undefined;
    }
  }

  private more(): boolean {
    const buffer = new Uint8Array(CHUNK);
    const length = receiveNow(this.fd, buffer);
    if (length < 0) return false;
    this.isAtEnd = length === 0 || this.held.length + length > this.longest;
    this.held = this.isAtEnd ? new Uint8Array(0) : concatBytes([this.held, buffer.subarray(0, length)]);
    return !this.isAtEnd;
  }
}
