import { execa } from "execa";

export interface ListenOptions {
  protocol?: "tcp" | "udp";
  /** address to bind; every address of both families when absent */
  host?: string;
  /** what the server calls itself in its answers */
  name?: string;
}

export interface ConnectOptions {
  protocol?: "tcp" | "udp";
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

// Node runs both programs by `-e`; they read their one argument, a JSON object, from the environment.
const serverProgram = `
const o = JSON.parse(process.env.OPTIONS);
const plain = (a) => a.replace(/^::ffff:/, "");
const ready = () => console.log("ready");
if (o.protocol === "udp") {
  const open = (type, host, then) => {
    const s = require("node:dgram").createSocket({ type, ipv6Only: type === "udp6" });
    s.on("message", (m, r) => s.send(JSON.stringify({ server: o.name, from: plain(r.address), fromPort: r.port }), r.port, r.address));
    s.bind(o.port, host, then);
  };
  if (o.host) open(o.host.includes(":") ? "udp6" : "udp4", o.host, ready);
  else open("udp4", "0.0.0.0", () => open("udp6", "::", ready));
} else {
  const s = require("node:net").createServer((c) => {
    c.on("error", () => {});
    c.end(JSON.stringify({ server: o.name, from: plain(c.remoteAddress), fromPort: c.remotePort, to: plain(c.localAddress) }));
  });
  s.listen({ port: o.port, host: o.host ?? "::" }, ready);
}
`;

const clientProgram = `
const o = JSON.parse(process.env.OPTIONS);
const fail = (m) => { console.error(m); process.exit(1); };
setTimeout(() => fail("timeout"), o.timeoutMs);
if (o.protocol === "udp") {
  const s = require("node:dgram").createSocket(o.address.includes(":") ? "udp6" : "udp4");
  s.on("error", (e) => fail(e.code ?? e.message));
  s.on("message", (m) => { process.stdout.write(m); process.exit(0); });
  s.bind(o.sourcePort ?? 0, o.from, () => { const go = () => s.send("x", o.port, o.address); go(); setInterval(go, 200); });
} else {
  const c = require("node:net").connect({ host: o.address, port: o.port, localAddress: o.from, localPort: o.sourcePort });
  let text = "";
  c.on("error", (e) => fail(e.code ?? e.message));
  c.on("data", (d) => { text += d; });
  c.on("end", () => { process.stdout.write(text); process.exit(0); });
}
`;

const inside = (netns: string, program: string): string[] => [`--net=${netns}`, "--", process.execPath, "-e", program];

/** Starts a server in the namespace; resolves once it listens. */
export async function listen(netns: string, port: number, options: ListenOptions): Promise<Listener> {
  const input = JSON.stringify({ protocol: "tcp", name: "server", ...options, port });
  const server = execa("nsenter", inside(netns, serverProgram), {
    env: { OPTIONS: input },
    buffer: false,
    reject: false,
  });
  await new Promise<void>((resolve, reject) => {
    let errors = "";
    server.stderr.on("data", (data) => (errors += data));
    server.stdout.once("data", () => resolve());
    server.once("exit", (code) => reject(new Error(`server on port ${port} ended with ${code}: ${errors}`)));
  });
  return {
    stop: async () => {
      server.kill("SIGKILL");
      await server;
    },
  };
}

/**
 * Connects from the namespace; rejects with the reason (`timeout`, `ECONNREFUSED`, `EHOSTUNREACH` ...) as its message.
 */
export async function connect(
  netns: string,
  to: { address: string; port: number },
  options: ConnectOptions,
): Promise<Connection> {
  const input = JSON.stringify({ protocol: "tcp", timeoutMs: 3000, ...options, ...to });
  const { stdout, stderr, exitCode } = await execa("nsenter", inside(netns, clientProgram), {
    env: { OPTIONS: input },
    reject: false,
  });
  if (exitCode !== 0) throw new Error(stderr.trim() || `client ended with ${exitCode}`);
  return JSON.parse(stdout) as Connection;
}
