// A program of the benchmark, for both ends of a network: `server PORT` takes connections and closes them; `client
// ADDRESS PORT SECONDS` makes one after the other and prints how many a second. Its calls block, so that little but the
// kernel's own work is measured.
import { host, libcCall } from "../harness/host.ts";

const listen = libcCall("listen", "int int int");
const accept = libcCall("accept", "int int bytes bytes");
const connect = libcCall("connect", "int int bytes uint");

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
/** struct linger { int l_onoff; int l_linger; }: closing resets the connection, so that its port is free at once */
const RESET = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);

const must = (result: number, what: string): number => {
  if (result < 0) throw new Error(`${what}: errno ${-result}`);
  return result;
};
/** struct sockaddr_in */
const sockaddr = (address: string, port: number): Uint8Array => {
  const ip = address.split(".").map(Number);
  return Uint8Array.of(AF_INET, 0, port >> 8, port & 255, ...ip, 0, 0, 0, 0, 0, 0, 0, 0);
};
const socket = (): number => must(host.socket(AF_INET, SOCK_STREAM, 0), "socket");

function serve(port: number): never {
  const fd = socket();
  must(host.bind(fd, sockaddr("0.0.0.0", port)), "bind");
  must(listen(fd, 4096), "listen");
  host.write(1, new TextEncoder().encode("ready\n"));
  for (;;) {
    const connection = accept(fd, null, null);
    if (connection >= 0) host.close(connection);
  }
}

function callAgainAndAgain(address: string, port: number, seconds: number): number {
  const to = sockaddr(address, port);
  const end = host.nanoseconds() + seconds * 1e9;
  let count = 0;
  for (; host.nanoseconds() < end; count++) {
    const fd = socket();
    host.setsockopt(fd, SOL_SOCKET, SO_LINGER, RESET);
    must(connect(fd, to, to.length), "connect");
    host.close(fd);
  }
  return count / seconds;
}

const [role, ...args] = process.argv.slice(2);
if (role === "server") serve(Number(args[0]));
else console.log(callAgainAndAgain(args[0]!, Number(args[1]), Number(args[2])));
