import { CniError } from "../cni/error.ts";
import { close, SystemError } from "../kernel/linux.ts";
import { send } from "../kernel/socket.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { LineReader } from "./line-reader.ts";
import { type Answer, decodeRequest, encodeAnswer, encodeGreeting, type Request } from "./protocol.ts";
import type { Task } from "./task.ts";

/** GC names all attachments of a network: a hundred bytes each. */
const LONGEST_REQUEST = 4 << 20;
/** Who connects and says nothing for so long has nothing to say. */
const PATIENCE_MS = 10_000;

/** Does what is asked, and calls `answer` once, now or later. What it returns is called when the asker leaves. */
export type Serve = (request: Request, answer: (answer: Answer) => void) => (() => void) | undefined;

/** What the reference's plugin says first: it speaks another language (Go's net/rpc). */
const REFERENCE = /^CONNECT \S+ HTTP\//;
const TO_REFERENCE = "HTTP/1.0 501 this is podwire dhcp-daemon, whose plugin is podwire under the name dhcp\r\n\r\n";

/** One plugin that asks one thing. */
export class Connection implements Task {
  wakeAt: number;
  private readonly reader: LineReader;
  private isAsked = false;
  private abandon: (() => void) | undefined;
  isClosed = false;

  constructor(
    readonly fd: number,
    private readonly serve: Serve,
    private readonly withinMs: number,
    now: number,
  ) {
    this.reader = new LineReader(fd, LONGEST_REQUEST);
    this.wakeAt = now + PATIENCE_MS;
  }

  wake(now: number, isReadable: boolean): void {
    if (isReadable) this.listen();
    if (now >= this.wakeAt) this.end();
  }

  end(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    close(this.fd);
    this.abandon?.();
  }

  private listen(): void {
    try {
      const line = this.reader.next();
      if (line !== undefined && !this.isAsked) this.take(line);
      // after its request a plugin says no more: that it can be read from means that it has gone
      else if (this.isAsked || this.reader.isAtEnd) this.end();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.end(); // ECONNRESET
    }
  }

  private take(line: string): void {
    this.isAsked = true;
    this.wakeAt = Infinity;
    if (REFERENCE.test(line)) {
      this.say(TO_REFERENCE);
      return this.end();
    }
    this.say(encodeGreeting(this.withinMs));
    if (this.isClosed) return;
    try {
      this.abandon = this.serve(decodeRequest(line), (answer) => this.answer(answer));
    } catch (error) {
      if (!(error instanceof CniError)) throw error;
      this.answer(error);
    }
  }

  private answer(answer: Answer): void {
    this.abandon = undefined;
    this.say(encodeAnswer(answer));
    this.end();
  }

  /** A few hundred bytes, for which every socket has room; an asker who cannot hear one word is not told the next. */
  private say(text: string): void {
    try {
      if (!this.isClosed) send(this.fd, encodeUtf8(text));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.end();
    }
  }
}
