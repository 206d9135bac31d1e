// Plays the recorded calls of plugins over again while the executable is built, so that the engine sees what calls
// reach of its heap (src/engine/layout.rs). A system call gets the next answer its scenario has for one like it; where
// podwire asks for other things by now nothing is there, which costs no more than time: later calls find less of what
// they need in one place.
import type { Ended, Host } from "../../src/kernel/host.ts";
import recorded from "./recorded.txt";

type Functions = Record<string, (...args: never[]) => unknown>;
const globals = globalThis as unknown as {
  podwire: { main(args: string[], variables: string[]): number };
  host: Host;
  primitives: { encodeUtf8(text: string): Uint8Array };
};

const [ENOENT, EAGAIN] = [2, 11];
/** No call of a plugin makes more; one that waits for what never comes must end. */
const MOST_CALLS = 20_000;
/** Which argument a call writes into. */
const into = new Map(
  Object.entries({ getdents64: 1, getrandom: 0, getsockopt: 3, read: 1, readlink: 1, statfs: 1, statx: 4 }),
);

/** What `escapeBytes` of recorder.ts made of bytes. */
function unescape(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const [whole, zeros, hex, letter] of text.matchAll(/~|\\(?:(\d+);|x(..)|(.))|[^]/g)) {
    if (whole === "~") bytes.push(0);
    else if (zeros !== undefined) for (let n = 0; n < Number(zeros); n++) bytes.push(0);
    else if (hex !== undefined) bytes.push(parseInt(hex, 16));
    else bytes.push(letter === "n" ? 10 : (letter ?? whole).charCodeAt(0));
  }
  return Uint8Array.from(bytes);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** A recorded datagram with its messages' numbers counted from `first` (struct nlmsghdr: length, and seq at 8). */
function numbered(text: string, first: number): Uint8Array {
  const bytes = unescape(text);
  const view = viewOf(bytes);
  for (let at = 0; at + 16 <= bytes.length; at += (Math.max(view.getUint32(at, true), 16) + 3) & ~3) {
    view.setUint32(at + 8, view.getUint32(at + 8, true) + first, true);
  }
  return bytes;
}

function give(target: Uint8Array, bytes: Uint8Array): number {
  const piece = bytes.subarray(0, target.length);
  target.set(piece);
  return piece.length;
}

const ended = (status: number, [timedOut, stdout, stderr]: string[]): Ended => ({
  status,
  timedOut: timedOut === "1",
  stdout: unescape(stdout ?? ""),
  stderr: unescape(stderr ?? ""),
});

/** The machine as one scenario found it. */
class Machine {
  #at = 0;
  #calls = 0;
  readonly #replies = new Map<number, Uint8Array[]>();

  constructor(
    readonly lines: readonly string[],
    private stdin: Uint8Array,
  ) {}

  answer(name: string, args: readonly unknown[]): unknown {
    if (++this.#calls > MOST_CALLS || name === "exit") throw new Error("the scenario is over");
    const [fd, bytes] = args as [number, Uint8Array];
    if (name === "getpid" || name === "poll") return 1;
    if (name === "close") return 0;
    if (name === "write" && fd < 3) return bytes.length;
    if (name === "read" && fd === 0) {
      const count = give(bytes, this.stdin);
      this.stdin = this.stdin.subarray(count);
      return count;
    }
    const reply = name === "recv" ? this.#replies.get(fd)?.shift() : undefined;
    return reply ? give(bytes, reply) : this.#recorded(name, args);
  }

  #recorded(name: string, args: readonly unknown[]): unknown {
    const found = this.#next(typeof args[0] === "string" ? `${name} ${args[0]}` : name);
    if (!found) return -(name === "recv" ? EAGAIN : ENOENT);
    const [result, ...parts] = found;
    if (name === "run" && parts.length > 0) return ended(Number(result), parts);
    const [fd, bytes] = args as [number, Uint8Array];
    if (name === "send") {
      const first = viewOf(bytes).getUint32(8, true);
      const replies = parts.map((part) => numbered(part, first));
      this.#replies.set(fd, replies);
    }
    const target = args[into.get(name) ?? -1] as Uint8Array | undefined;
    if (target && parts[0] !== undefined) give(target, unescape(parts[0]));
    return result === "all" ? bytes.length : Number(result);
  }

  /** What the next line says that is about such a call; nothing is passed over where none is. */
  #next(call: string): string[] | undefined {
    for (let at = this.#at; at < this.lines.length; at++) {
      const [key, ...rest] = this.lines[at]!.split("\t");
      if (!`${key!.replace(/^pod /, "")} `.startsWith(`${call} `)) continue;
      this.#at = at + 1;
      return rest;
    }
    return undefined;
  }
}

let machine: Machine;
const real: Functions = { ...globals.host } as unknown as Functions;
for (const name of Object.keys(real).filter((each) => !["nanoseconds", "sha512"].includes(each))) {
  const answer = (...args: never[]): unknown => {
    real[name]!(...args); // which says that nothing is there while the executable is built, but is reached as ever
    return machine.answer(name, args);
  };
  Object.assign(globals.host, { [name]: answer });
}

const [known, ...scenarios] = recorded.trimEnd().split("\n\n");
const lines = known!.split("\n").slice(1);

function play(scenario: string): void {
  const words = scenario.split("\n").map((line) => line.split(/ (.*)/s));
  const all = (wanted: string): string[] => words.filter(([word]) => word === wanted).map(([, value]) => value ?? "");
  const text = (value: string): string => String.fromCharCode(...unescape(value));
  const variables = all("env").map(text);
  const calls = (all("calls")[0] ?? "").split(" ").flatMap((run) => {
    const [from, to] = run.split("-").map(Number);
    return lines.slice(from, (to ?? from!) + 1);
  });
  // commands for people are rare; so is what starts a program, and that program takes longer
  if (!variables.some((entry) => entry.startsWith("CNI_COMMAND="))) return;
  if (calls.some((line) => /^(?:pod )?run /.test(line))) return;
  machine = new Machine(calls, globals.primitives.encodeUtf8(all("stdin").map(text).join("")));
  globals.podwire.main(all("argv").map(text), variables);
}

/** The engine calls this. */
export function warmUp(): void {
  for (const scenario of scenarios) {
    try {
      play(scenario);
    } catch {
      // it is over
    }
  }
}
