import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bothSides, emptyExecutable, enter, peakMemory, time, timeProcess, timeTogether, type Side, type Step } from "./sides.ts";
import { median, type Row } from "./table.ts";

const rounds = Number(process.env.BENCH_ROUNDS ?? 20);
const masquerading = (side: Side) => ({
  cniVersion: "1.0.0",
  name: "bench",
  type: "bridge",
  bridge: "br0",
  isDefaultGateway: true,
  ipMasq: true,
  ipam: { type: "host-local", dataDir: side.node.dataDir, subnet: "10.61.0.0/16" },
});

/**
 * What starting the executable alone costs, and how much of that is Bun's: VERSION reads nothing and touches nothing.
 * Every other figure contains it.
 */
export async function start(): Promise<Row[]> {
  const sides = await bothSides();
  const empty = emptyExecutable();
  const times: Record<string, number[]> = { podwire: [], reference: [], empty: [] };
  for (let round = -2; round < rounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const { ms } = time(side, { verb: "VERSION", call: { plugin: "ptp", config: {} } });
      if (round >= 0) times[side.name]!.push(ms);
    }
    const { ms } = timeProcess("an empty executable", { cmd: [empty] });
    if (round >= 0) times.empty!.push(ms);
  }
  for (const side of sides) await side.node.remove();
  return [
    { what: "start of the executable: VERSION", podwire: median(times.podwire!), reference: median(times.reference!), runs: rounds },
    { what: "of that, an empty Bun executable", podwire: median(times.empty!), runs: rounds },
  ];
}

/** host-local with few and with many leases: what it costs must not depend on how many there are. */
export async function fullStores(): Promise<Row[]> {
  const sides = await bothSides();
  const times: Record<string, number[]> = {};
  const config = (side: Side, count: number) => ({
    cniVersion: "1.0.0",
    name: `leases${count}`,
    ipam: { type: "host-local", dataDir: side.node.dataDir, subnet: "10.62.0.0/16" },
  });
  for (const side of sides) for (const count of [10, 10_000]) fill(join(side.node.dataDir, `leases${count}`), count);
  const pods = new Map<Side, string>();
  for (const side of sides) pods.set(side, (await side.node.pod()).path);
  for (let round = -1; round < rounds; round++) {
    for (const count of [10, 10_000]) {
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        enter(side);
        const call = { plugin: "host-local", config: config(side, count), containerId: `bench-${round + 1}`, netns: pods.get(side)! };
        for (const verb of ["ADD", "DEL"] as const) {
          const { ms } = time(side, { verb, call });
          if (round >= 0) (times[`${side.name} ${verb} ${count}`] ??= []).push(ms);
        }
      }
    }
  }
  for (const side of sides) await side.node.remove();
  const value = (key: string): number => median(times[key]!);
  return (["ADD", "DEL"] as const).flatMap((verb) => [
    { what: `host-local at 10 leases: ${verb}`, podwire: value(`podwire ${verb} 10`), reference: value(`reference ${verb} 10`), runs: rounds },
    {
      what: `host-local at 10,000 leases: ${verb}`,
      podwire: value(`podwire ${verb} 10000`),
      reference: value(`reference ${verb} 10000`),
      runs: rounds,
      target: 1.2,
      against: { what: "at 10", value: value(`podwire ${verb} 10`) },
    },
  ]);
}

/** Lease files as the reference writes them, one per address from 10.62.0.2 on, and its cursor behind the last. */
function fill(folder: string, count: number): void {
  mkdirSync(folder, { recursive: true });
  let last = "";
  for (let i = 2; i < count + 2; i++) {
    last = `10.62.${i >> 8}.${i & 255}`;
    writeFileSync(join(folder, last), `other-${i}\r\neth0`);
  }
  writeFileSync(join(folder, "last_reserved_ip.0"), last);
}

/** Fifty pods that start at once. */
export async function together(): Promise<Row[]> {
  const sides = await bothSides();
  const count = 50;
  const pods = new Map<Side, string[]>();
  for (const side of sides) {
    const made = await Promise.all(Array.from({ length: count }, async () => side.node.pod()));
    pods.set(side, made.map(({ path }) => path));
  }
  const times: Record<string, number[]> = { podwire: [], reference: [] };
  const runs = 5;
  for (let round = 0; round < runs; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      enter(side);
      const step = (verb: "ADD" | "DEL", netns: string, index: number): Step => ({
        verb,
        call: { plugin: "bridge", config: masquerading(side), containerId: `together-${round}-${index}`, netns },
      });
      const paths = pods.get(side)!;
      times[side.name]!.push(await timeTogether(side, paths.map((netns, index) => step("ADD", netns, index))));
      for (const [index, netns] of paths.entries()) time(side, step("DEL", netns, index));
    }
  }
  for (const side of sides) await side.node.remove();
  return [{ what: "50 ADDs at once, bridge, ipMasq", podwire: median(times.podwire!), reference: median(times.reference!), target: 0.45, runs }];
}

/** Peak memory of an ADD. */
export async function memory(): Promise<Row[]> {
  const sides = await bothSides();
  const peaks: Record<string, number[]> = { podwire: [], reference: [] };
  const runs = 5;
  for (const side of sides) {
    const { path } = await side.node.pod();
    enter(side);
    for (let round = 0; round < runs; round++) {
      const call = { plugin: "bridge", config: masquerading(side), containerId: `memory-${round}`, netns: path };
      peaks[side.name]!.push(peakMemory(side, { verb: "ADD", call }));
      time(side, { verb: "DEL", call });
    }
  }
  for (const side of sides) await side.node.remove();
  return [{ what: "peak memory of ADD, bridge, ipMasq", podwire: median(peaks.podwire!), reference: median(peaks.reference!), unit: "MiB", runs }];
}
