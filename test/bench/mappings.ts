import { execa } from "execa";
import { bun, reference } from "../harness/paths.ts";
import { bothSides, enter, time, type Side } from "./sides.ts";
import { median, type Row } from "./table.ts";

const containers = 200;
const portsEach = 5;
const firstPort = 20_000;
const seconds = 2;
const runs = 3;

// Bun runs these by -e. The server closes what it accepts; the client keeps eight connections in the making and counts.
const server = `Bun.listen({ hostname: "0.0.0.0", port: 80, socket: { open(s) { s.end("x"); }, data() {} } }); console.log("ready");`;
const client = `
const { address, port, seconds } = JSON.parse(process.env.OPTIONS);
let count = 0;
const end = Bun.nanoseconds() + seconds * 1e9;
const one = () => new Promise((done, fail) => Bun.connect({ hostname: address, port, socket: { data() {}, end(s) { s.terminate(); }, close: done, connectError: (_, e) => fail(e), error: (_, e) => fail(e) } }).catch(fail));
const loop = async () => { while (Bun.nanoseconds() < end) { await one(); count++; } };
await Promise.all(Array.from({ length: 8 }, loop));
console.log(count / seconds);
process.exit(0);
`;

/** A thousand mappings of two hundred containers, then new connections a second through the last port mapped. */
async function rate(side: Side, backend: string): Promise<number> {
  const outside = await side.node.outside();
  const pod = await side.node.pod({ up: true });
  await side.node.ip(`link add pod type veth peer name eth0 netns ${pod.name}`);
  await side.node.ip("link set pod up");
  await side.node.ip("address add 10.63.0.1/24 dev pod");
  await pod.ip("link set eth0 up");
  await pod.ip("address add 10.63.0.2/24 dev eth0");
  await pod.ip("route add default via 10.63.0.1");
  await side.node.setSysctl("net/ipv4/ip_forward", 1);

  enter(side);
  const prevResult = { cniVersion: "1.0.0", interfaces: [{ name: "eth0", sandbox: pod.path }], ips: [{ address: "10.63.0.2/24", gateway: "10.63.0.1", interface: 0 }] };
  for (let container = 0; container < containers; container++) {
    const portMappings = Array.from({ length: portsEach }, (_, index) => ({ hostPort: firstPort + container * portsEach + index, containerPort: 80, protocol: "tcp" }));
    const config = { cniVersion: "1.0.0", name: "bench", type: "portmap", backend, prevResult, runtimeConfig: { portMappings } };
    time(side, { verb: "ADD", call: { plugin: "portmap", config, containerId: `mapped-${container}`, netns: pod.path } });
  }

  const serving = execa("nsenter", [`--net=${pod.path}`, "--", bun, "-e", server], { reject: false, buffer: false });
  await new Promise((resolve) => serving.stdout.once("data", resolve));
  const options = JSON.stringify({ address: outside.node4, port: firstPort + containers * portsEach - 1, seconds });
  const rates: number[] = [];
  for (let run = 0; run < runs; run++) {
    const { stdout } = await execa("nsenter", [`--net=${outside.path}`, "--", bun, "-e", client], { env: { OPTIONS: options } });
    rates.push(Number(stdout));
  }
  serving.kill("SIGKILL");
  await serving;
  return median(rates);
}

/** Connection rates through the last of 1,000 mappings: podwire's nftables against each backend of the reference. */
export async function mappings(): Promise<Row[]> {
  const rows: Row[] = [];
  const backends = reference.newest ? ["iptables", "nftables"] : ["iptables"];
  for (const backend of backends) {
    const sides = await bothSides();
    const [ours, theirs] = sides as [Side, Side];
    const podwire = await rate(ours, "nftables");
    rows.push({ what: `connections a second through the last of 1,000 mappings (reference: ${backend})`, podwire, reference: await rate(theirs, backend), unit: "/s", runs });
    for (const side of sides) await side.node.remove();
  }
  return rows;
}
