import { writeFileSync } from "node:fs";
import type { Host } from "../../src/kernel/host.ts";
import { host as real } from "../harness/host.ts";
import { firstNumber, hash, renumbered, requestKey } from "./requests.ts";

/** What one call of podwire was, and how it ended. */
export interface Scenario {
  name: string;
  argv: readonly string[];
  environment: readonly string[];
  stdin: string;
}

/** linux/socket.h */
const AF_NETLINK = 16;
const O_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;
const SELF = "/proc/thread-self/ns/net";

const EXECUTABLE = "/proc/self/exe";

/** What files say here that differs from machine to machine and is not the kernel's to tell about podwire. */
const instead: Record<string, string> = {
  "/proc/stat": "cpu  100 0 100 1000 0 0 0 0 0 0\nbtime 1700000000\nprocesses 1000\n",
  "/proc/sys/kernel/random/boot_id": "3c8e4f0a-1d5b-4f57-9a53-0d4b5a1c2e6f\n",
  [EXECUTABLE]: "#!/bin/sh\necho '{\"supportedVersions\":[]}'\n",
};

const text = new TextEncoder();

/** Bytes as a line has them: printable ASCII as it is, `~` for a zero, `\N;` for N of them, `\xNN` for the rest. */
export function escapeBytes(bytes: Uint8Array): string {
  let out = "";
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    let zeros = 0;
    while (bytes[at + zeros] === 0) zeros++;
    if (zeros > 3) {
      out += `\\${zeros};`;
      at += zeros - 1;
    } else if (byte === 0) out += "~";
    else if (byte === 10) out += "\\n";
    else if (byte === 92) out += "\\\\";
    else if (byte >= 32 && byte < 126) out += String.fromCharCode(byte);
    else out += `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return out;
}

/**
 * What podwire asks of its host while it runs under Node, and what it is answered, as lines of test/fuzz/recorded.txt.
 */
export class Recorder {
  /** as `Host`, for podwire */
  readonly host: Host;
  readonly #labels = new Map<number, string>();
  readonly #said: Record<number, string> = { 1: "", 2: "" };
  #stdin = new Uint8Array(0);
  #inPod = false;
  #lines: string[][] = [];
  /** the request a netlink socket answers: its line, and the number of its first message */
  #requests = new Map<number, { line: string[]; first: number }>();

  constructor() {
    const observe = (name: string, args: never[]): unknown => this.#observe(name, args);
    this.host = new Proxy(real, {
      get:
        (_host, name: string) =>
        (...args: never[]) =>
          observe(name, args),
    });
  }

  /** Begins a call of podwire; the lines of the last one are forgotten. */
  begin(stdin: string): void {
    this.#lines = [];
    this.#stdin = text.encode(stdin);
    this.#said[1] = this.#said[2] = "";
    this.#inPod = false;
  }

  /** What was asked and answered since `begin`, and what was printed. */
  end(): { lines: string[]; stdout: string; stderr: string } {
    return { lines: this.#lines.map((line) => line.join("\t")), stdout: this.#said[1]!, stderr: this.#said[2]! };
  }

  #observe(name: string, args: never[]): unknown {
    const own = this.#answer(name, args as unknown[]);
    if (own !== undefined) return own;
    const key = this.#key(name, args); // before the call: it may change what descriptors mean
    const result = this.#ask(name, args);
    if (key !== undefined) this.#note(name, [key, args, result]);
    return result;
  }

  /** The machine's own answer, but what `instead` has. */
  #ask(name: string, args: never[]): unknown {
    const [path, ...rest] = args as unknown as [string, Uint8Array];
    const own = instead[path];
    const ask = (...given: unknown[]): unknown =>
      (real as unknown as Record<string, (...given: unknown[]) => unknown>)[name]!(...given);
    if (name === "readlink" && path === EXECUTABLE) {
      return new TextEncoder().encodeInto("/opt/cni/bin/podwire", rest[0]!).written;
    }
    if (name !== "open" || own === undefined) return ask(...args);
    const file = `/run/instead-${hash(text.encode(path))}`;
    writeFileSync(file, own);
    return ask(file, ...rest);
  }

  /** The calls that do not reach the machine: standard streams, and what differs from run to run. */
  #answer(name: string, [first, second]: unknown[]): number | undefined {
    if (name === "getpid") return 4711;
    if (name === "poll" && new DataView((first as Uint8Array).buffer).getInt32(0, true) === 0) return 1;
    if (name === "read" && first === 0) {
      const into = second as Uint8Array;
      const piece = this.#stdin.subarray(0, into.length);
      into.set(piece);
      this.#stdin = this.#stdin.subarray(piece.length);
      return piece.length;
    }
    if (name === "write" && (first === 1 || first === 2)) {
      this.#said[first] += new TextDecoder().decode(second as Uint8Array);
      return (second as Uint8Array).length;
    }
    return undefined;
  }

  #label(fd: unknown): string {
    return fd === AT_FDCWD ? "-" : (this.#labels.get(fd as number) ?? String(fd));
  }

  /** What a call is known by; undefined for one that is not noted. */
  #key(name: string, args: readonly unknown[]): string | undefined {
    const words = this.#words(name, args);
    return words && `${this.#inPod ? "pod " : ""}${[name, ...words].join(" ")}`;
  }

  #words(name: string, [a, b, c, d]: readonly unknown[]): unknown[] | undefined {
    switch (name) {
      case "open":
        return [a, ((b as number) | O_CLOEXEC).toString(16)];
      case "link":
      case "rename":
      case "symlink":
        return [a, b];
      case "access":
        return [a, b];
      case "unlink":
      case "rmdir":
      case "mkdir":
      case "readlink":
      case "statfs":
        return [a];
      case "statx":
        return [this.#label(a), b, (c as number).toString(16)];
      case "socket":
        return [a, b, c];
      case "ioctl":
      case "flock":
        return [this.#label(a), b];
      case "setsockopt":
      case "getsockopt":
        return [this.#label(a), b, c];
      case "send":
        return [this.#label(a), requestKey(b as Uint8Array)];
      case "run":
        return [a, ...(b as string[]), d === undefined ? "" : hash(d as Uint8Array)];
      case "getrandom":
        return [(a as Uint8Array).length];
      case "read":
      case "write":
      case "recv":
      case "getdents64":
      case "setns":
      case "bind":
      case "fsync":
      case "ftruncate":
      case "fchmod":
      case "futimens":
        return [this.#label(a)];
      default:
        return undefined;
    }
  }

  #note(name: string, [key, args, result]: [string, readonly unknown[], unknown]): void {
    const line = [escapeBytes(text.encode(key))];
    if (name === "run" && typeof result === "object") {
      const { status, timedOut, stdout, stderr } = result as {
        status: number;
        timedOut: boolean;
        stdout: Uint8Array;
        stderr: Uint8Array;
      };
      line.push(String(status), timedOut ? "1" : "0", escapeBytes(stdout), escapeBytes(stderr));
      this.#lines.push(line);
      return;
    }
    const number = result as number;
    const [fd, second] = args as [number, Uint8Array];
    if (name === "recv" && this.#noteReply(fd, number > 0 ? second.subarray(0, number) : undefined)) return;
    line.push(name === "write" && number >= 0 ? "all" : String(number));
    if (number >= 0) {
      this.#follow(name, [args, number]);
      const written = this.#written(name, [args, number]);
      if (written) line.push(escapeBytes(written));
    }
    this.#lines.push(line);
    if (name === "send") this.#requests.set(fd, { line, first: firstNumber(second) });
  }

  /**
   * An answer belongs to the request before it, and the end of answers needs no line; false for what nobody asked for.
   */
  #noteReply(fd: number, datagram: Uint8Array | undefined): boolean {
    const request = this.#requests.get(fd);
    if (datagram === undefined) return true;
    if (request === undefined) return false;
    request.line.push(escapeBytes(renumbered(datagram, request.first)));
    return true;
  }

  /** Keeps in mind what descriptors are, and where the thread is. */
  #follow(name: string, [args, result]: [readonly unknown[], number]): void {
    const where = this.#inPod ? "@pod" : "";
    if (name === "open") this.#labels.set(result, `${args[0]}${where}`);
    if (name === "socket") {
      this.#labels.set(result, `${args[0] === AF_NETLINK ? "netlink" : `socket${args[0]}`}.${args[2]}${where}`);
      this.#requests.delete(result);
    }
    if (name === "setns") this.#inPod = this.#label(args[0]) !== SELF;
  }

  /** What the call wrote into memory. */
  #written(name: string, [args, result]: [readonly unknown[], number]): Uint8Array | undefined {
    if (name === "read" && result === 0) return undefined;
    if (["read", "getdents64", "readlink", "recv"].includes(name)) return (args[1] as Uint8Array).subarray(0, result);
    if (name === "statfs") return args[1] as Uint8Array;
    if (name === "statx") return args[4] as Uint8Array;
    if (name === "getsockopt") return args[3] as Uint8Array;
    return name === "getrandom" ? (args[0] as Uint8Array) : undefined;
  }
}
