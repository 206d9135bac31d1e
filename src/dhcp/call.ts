import { CniError, Code } from "../cni/error.ts";
import type { Addressing } from "../cni/result.ts";
import { monotonicMs } from "../kernel/clock.ts";
import { close, SystemError, waitReadable, waitWritable } from "../kernel/linux.ts";
import { connect, send, unixAddress, unixSocket } from "../kernel/socket.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { LineReader } from "./line-reader.ts";
import { decodeAnswer, decodeGreeting, type WrittenRequest } from "./protocol.ts";

/** A daemon that lives takes a request and says so at once; with socket activation it has to start first. */
const GREETING_MS = 10_000;
/** What it says itself is believed up to here. */
const LONGEST_MS = 5 * 60_000;
const LONGEST_ANSWER = 1 << 20;

/** There is no daemon: nobody listens at the socket. */
export class NoDaemon extends CniError {}

/**
 * One request to the daemon, and what it gave. NoDaemon (11) where none runs; CniError 11 where it does not answer in
 * its time, 6 where what it says is none of its words, its own error else.
 */
export function callDaemon(socketPath: string, request: WrittenRequest): Addressing {
  const fd = open(socketPath);
  try {
    const words = new Conversation(fd, socketPath);
    words.say(`${JSON.stringify(request)}\n`, GREETING_MS);
    const withinMs = decodeGreeting(words.hear(GREETING_MS));
    if (withinMs === undefined) {
      throw new CniError(
        Code.TryAgainLater,
        `what listens at ${socketPath} is not podwire dhcp-daemon: the reference's daemon has to be replaced by it`,
      );
    }
    return decodeAnswer(words.hear(Math.min(withinMs, LONGEST_MS)));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new CniError(Code.TryAgainLater, `the DHCP daemon at ${socketPath} was lost`, error.message, {
      cause: error,
    });
  } finally {
    close(fd);
  }
}

function open(socketPath: string): number {
  const fd = unixSocket();
  try {
    connect(fd, unixAddress(socketPath));
    return fd;
  } catch (error) {
    close(fd);
    if (!(error instanceof SystemError)) throw error;
    const why = error.code === "EAGAIN" ? "it does not take in who connects" : error.message;
    const message = `no DHCP daemon answers at ${socketPath}: is podwire dhcp-daemon running?`;
    const kind = error.code === "EAGAIN" ? CniError : NoDaemon;
    throw new kind(Code.TryAgainLater, message, why, { cause: error });
  }
}

class Conversation {
  private readonly reader: LineReader;

  constructor(
    private readonly fd: number,
    private readonly socketPath: string,
  ) {
    this.reader = new LineReader(fd, LONGEST_ANSWER);
  }

  say(text: string, ms: number): void {
    const deadline = monotonicMs() + ms;
    for (let rest = encodeUtf8(text); rest.length > 0;) {
      if (!waitWritable(this.fd, Math.max(0, Math.ceil(deadline - monotonicMs())))) throw this.silent(ms);
      rest = rest.subarray(send(this.fd, rest));
    }
  }

  hear(ms: number): string {
    const deadline = monotonicMs() + ms;
    for (;;) {
      const line = this.reader.next();
      if (line !== undefined) return line;
      if (this.reader.isAtEnd) {
        throw new CniError(Code.TryAgainLater, `the DHCP daemon at ${this.socketPath} ended before it had answered`);
      }
      const left = deadline - monotonicMs();
      if (left <= 0 || !waitReadable(this.fd, Math.ceil(left))) throw this.silent(ms);
    }
  }

  private silent(ms: number): CniError {
    return new CniError(
      Code.TryAgainLater,
      `the DHCP daemon at ${this.socketPath} did not answer within ${Math.round(ms / 1000)} s`,
    );
  }
}
