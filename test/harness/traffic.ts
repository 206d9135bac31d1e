import { createSocket, type Socket as Datagrams } from "node:dgram";
import { once } from "node:events";
import { createServer, isIPv6, Socket } from "node:net";
import { text } from "node:stream/consumers";
import { getSystemErrorName } from "node:util";
import { ipBytes, parseIp } from "../../src/net/ip.ts";
import { host } from "./host.ts";
import { inNamespace } from "./inside.ts";

export interface ListenOptions {
  protocol?: "tcp" | "udp";
  /** address to bind; every address of both families when absent */
  host?: string;
  /** what the server calls itself in its answers */
  name?: string;
}

export interface ConnectOptions {
  protocol?: "tcp" | "udp";
  /** how long an answer is waited for; where silence is expected, how much of it */
  timeoutMs?: number;
  /** source address to use */
  from?: string;
  sourcePort?: number;
}

/** What a server says of a client: its own name, and where it saw the client come from and arrive at. */
export interface Connection {
  server: string;
  from: string;
  fromPort: number;
  to?: string;
}

export interface Listener {
  stop(): Promise<void>;
}

// The sockets are made in their namespace, which they never leave; Node then serves them on this thread as any other.

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK_CLOEXEC = 0o2004000;

interface End {
  protocol: "tcp" | "udp";
  family: typeof AF_INET | typeof AF_INET6;
  host?: string;
  port: number;
  /** IPv6 alone, where the wildcard address would take IPv4 too */
  only6?: boolean;
}

const familyOf = (address: string): End["family"] => (isIPv6(address) ? AF_INET6 : AF_INET);
const plain = (address = ""): string => address.replace(/^::ffff:/, "");

function must(result: number): number {
  if (result < 0) throw new Error(getSystemErrorName(result));
  return result;
}

/** struct sockaddr_in, struct sockaddr_in6 */
function sockaddr({ family, host: address, port }: End): Uint8Array {
  const ip = address === undefined ? new Uint8Array(family === AF_INET ? 4 : 16) : ipBytes(parseIp(address)!);
  const rest = family === AF_INET ? [...ip, 0, 0, 0, 0, 0, 0, 0, 0] : [0, 0, 0, 0, ...ip, 0, 0, 0, 0];
  return Uint8Array.of(family, 0, port >> 8, port & 255, ...rest);
}

/** A socket made in the namespace and bound to that end. */
function bound(netns: string, end: End): number {
  return inNamespace(netns, () => {
    const type = end.protocol === "tcp" ? SOCK_STREAM : SOCK_DGRAM;
    const fd = must(host.socket(end.family, type | SOCK_NONBLOCK_CLOEXEC, 0));
    const one = Uint8Array.of(1, 0, 0, 0);
    if (end.protocol === "tcp") must(host.setsockopt(fd, 1 /* SOL_SOCKET */, 2 /* SO_REUSEADDR */, one));
    if (end.only6) must(host.setsockopt(fd, 41 /* SOL_IPV6 */, 26 /* IPV6_V6ONLY */, one));
    const result = host.bind(fd, sockaddr(end));
    if (result < 0) host.close(fd);
    must(result);
    return fd;
  });
}

async function datagrams(netns: string, end: End): Promise<Datagrams> {
  const socket = createSocket(end.family === AF_INET ? "udp4" : "udp6");
  const listening = once(socket, "listening");
  socket.bind({ fd: bound(netns, end) });
  await listening;
  return socket;
}

/** Starts a server in the namespace; resolves once it listens. */
export async function listen(netns: string, port: number, options: ListenOptions): Promise<Listener> {
  const { protocol = "tcp", name = "server", host: address } = options;
  if (protocol === "udp") return answerDatagrams(netns, port, { name, address });
  const family = address === undefined ? AF_INET6 : familyOf(address);
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    clients.add(client);
    client.on("error", () => undefined).on("close", () => clients.delete(client));
    const { remoteAddress, remotePort: fromPort, localAddress } = client;
    client.end(JSON.stringify({ server: name, from: plain(remoteAddress), fromPort, to: plain(localAddress) }));
  });
  server.listen({ fd: bound(netns, { protocol, family, port, ...(address && { host: address }) }) });
  await once(server, "listening");
  return {
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      for (const client of clients) client.destroy();
      await closed;
    },
  };
}

async function answerDatagrams(
  netns: string,
  port: number,
  { name, address }: { name: string; address: string | undefined },
): Promise<Listener> {
  const ends: End[] =
    address === undefined
      ? [
          { protocol: "udp", family: AF_INET, port },
          { protocol: "udp", family: AF_INET6, port, only6: true },
        ]
      : [{ protocol: "udp", family: familyOf(address), port, host: address }];
  const sockets = await Promise.all(ends.map(async (end) => datagrams(netns, end)));
  for (const socket of sockets) {
    socket.on("message", (_message, { address: from, port: fromPort }) =>
      socket.send(JSON.stringify({ server: name, from: plain(from), fromPort }), fromPort, from),
    );
    socket.on("error", () => undefined);
  }
  return { stop: async () => void sockets.map((socket) => socket.close()) };
}

/**
 * Connects from the namespace; rejects with the reason (`timeout`, `ECONNREFUSED`, `EHOSTUNREACH` ...) as its message.
 */
export async function connect(
  netns: string,
  to: { address: string; port: number },
  { protocol = "tcp", timeoutMs = 20_000, from, sourcePort = 0 }: ConnectOptions,
): Promise<Connection> {
  const own: End = { protocol, family: familyOf(to.address), port: sourcePort, ...(from && { host: from }) };
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("timeout")), timeoutMs);
  });
  const asking = protocol === "tcp" ? await callUp(netns, own, to) : await ask(netns, own, to);
  try {
    return JSON.parse(await Promise.race([asking.answer, late])) as Connection;
  } catch (error) {
    throw new Error((error as NodeJS.ErrnoException).code ?? (error as Error).message, { cause: error });
  } finally {
    clearTimeout(timer!);
    asking.end();
  }
}

interface Asking {
  answer: Promise<string>;
  end(): void;
}

async function callUp(netns: string, own: End, { address, port }: { address: string; port: number }): Promise<Asking> {
  // it is not read from before it is connected
  const options = { fd: bound(netns, own), manualStart: true };
  const socket = new Socket(options);
  socket.connect({ host: address, port });
  return { answer: text(socket), end: () => void socket.destroy() };
}

/** Asks again and again: the first datagrams may be lost where an address is being resolved. */
async function ask(netns: string, own: End, { address, port }: { address: string; port: number }): Promise<Asking> {
  const socket = await datagrams(netns, own);
  const answer = new Promise<string>((resolve, reject) => {
    socket.once("message", (message) => resolve(message.toString())).once("error", reject);
  });
  const send = (): void => socket.send("x", port, address);
  send();
  const again = setInterval(send, 200);
  const end = (): void => {
    clearInterval(again);
    socket.close();
  };
  return { answer, end };
}
