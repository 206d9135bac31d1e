import { execa } from "execa";
import type { Namespace } from "../harness/namespace.ts";
import { reference, root } from "../harness/paths.ts";
import { bothSides, enter, measure, type Side } from "./sides.ts";
import { median, type Row } from "./table.ts";

const containers = 200;
const portsEach = 5;
const firstPort = 20_000;
const seconds = 2;
const runs = 3;

/** Runs connections.ts in a namespace. */
const program = (within: Namespace, ...args: (string | number)[]): string[] => {
  const node = [process.execPath, "--import", "tsx", "test/bench/connections.ts"];
  return [`--net=${within.path}`, "--", ...node, ...args.map(String)];
};

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
  const prevResult = {
    cniVersion: "1.0.0",
    interfaces: [{ name: "eth0", sandbox: pod.path }],
    ips: [{ address: "10.63.0.2/24", gateway: "10.63.0.1", interface: 0 }],
  };
  for (let container = 0; container < containers; container++) {
    const portMappings = Array.from({ length: portsEach }, (_, index) => ({
      hostPort: firstPort + container * portsEach + index,
      containerPort: 80,
      protocol: "tcp",
    }));
    const config = {
      cniVersion: "1.0.0",
      name: "bench",
      type: "portmap",
      backend,
      prevResult,
      runtimeConfig: { portMappings },
    };
    const call = { plugin: "portmap", config, containerId: `mapped-${container}`, netns: pod.path };
    measure(side, { verb: "ADD", call });
  }

  const serving = execa("nsenter", program(pod, "server", 80), { cwd: root, reject: false, buffer: false });
  await new Promise((resolve) => serving.stdout.once("data", resolve));
  const lastPort = firstPort + containers * portsEach - 1;
  const rates: number[] = [];
  for (let run = 0; run < runs; run++) {
    const args = program(outside, "client", outside.node4, lastPort, seconds);
    const { stdout } = await execa("nsenter", args, { cwd: root });
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
    rows.push({
      what: `connections a second through the last of 1,000 mappings (reference: ${backend})`,
      podwire,
      reference: await rate(theirs, backend),
      unit: "/s",
      runs,
    });
    for (const side of sides) await side.node.remove();
  }
  return rows;
}
