import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cost } from "./process.ts";
import { bothSides, enter, fileSize, measure, peakMemory, timeTogether, type Side, type Step } from "./sides.ts";
import { mean, median, type Row } from "./table.ts";

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

/** What starting the executable alone costs, which every other figure contains: VERSION touches nothing. */
export async function start(): Promise<Row[]> {
  const sides = await bothSides();
  const times: Record<Side["name"], number[]> = { podwire: [], reference: [] };
  for (let round = -2; round < rounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const { ms } = measure(side, { verb: "VERSION", call: { plugin: "ptp", config: {} } });
      if (round >= 0) times[side.name].push(ms);
    }
  }
  for (const side of sides) await side.node.remove();
  const figures = { podwire: median(times.podwire), reference: median(times.reference), runs: rounds };
  return [{ what: "start of the executable: VERSION", ...figures, target: 0.5 }];
}

/** What an ADD costs the processor, in user space and in the kernel, and in page faults. */
export async function processor(): Promise<Row[]> {
  const sides = await bothSides();
  const costs: Record<Side["name"], Cost[]> = { podwire: [], reference: [] };
  const runs = rounds * 10; // the kernel's part is a matter of samples
  const pods = new Map<Side, string>();
  for (const side of sides) pods.set(side, (await side.node.pod()).path);
  for (let round = -2; round < runs; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      enter(side);
      const config = { ...masquerading(side), ipMasq: false };
      const call = { plugin: "bridge", config, containerId: `processor-${round + 2}`, netns: pods.get(side)! };
      const cost = measure(side, { verb: "ADD", call });
      if (round >= 0) costs[side.name].push(cost);
      measure(side, { verb: "DEL", call });
    }
  }
  for (const side of sides) await side.node.remove();
  const of = (how: typeof median, pick: (cost: Cost) => number) => {
    const [podwire, theirs] = [costs.podwire, costs.reference].map((each) => how(each.map(pick)));
    return { podwire: podwire!, reference: theirs!, runs };
  };
  const userMs = ({ processorMs, systemMs }: Cost): number => processorMs - systemMs;
  return [
    { what: "bridge: ADD, processor time in user space (mean)", ...of(mean, userMs) },
    { what: "bridge: ADD, processor time in the kernel (mean)", ...of(mean, ({ systemMs }) => systemMs) },
    { what: "bridge: ADD, page faults", ...of(median, ({ faults }) => faults), unit: "" },
  ];
}

/** host-local with few and with many leases: what it costs must not depend on how many there are. */
export async function fullStores(): Promise<Row[]> {
  const sides = await bothSides();
  const times: Record<string, number[]> = {};
  const config = (side: Side, count: number) => ({
    cniVersion: "1.0.0",
    name: `leases${count}`,
    type: "host-local",
    ipam: { type: "host-local", dataDir: side.node.dataDir, subnet: "10.62.0.0/16" },
  });
  for (const side of sides) for (const count of [10, 10_000]) fill(join(side.node.dataDir, `leases${count}`), count);
  const pods = new Map<Side, string>();
  for (const side of sides) pods.set(side, (await side.node.pod()).path);
  for (let round = -1; round < rounds; round++) {
    for (const count of [10, 10_000]) {
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        enter(side);
        const call = {
          plugin: "host-local",
          config: config(side, count),
          containerId: `bench-${round + 1}`,
          netns: pods.get(side)!,
        };
        for (const verb of ["ADD", "DEL"] as const) {
          const { ms } = measure(side, { verb, call });
          if (round >= 0) (times[`${side.name} ${verb} ${count}`] ??= []).push(ms);
        }
      }
    }
  }
  for (const side of sides) await side.node.remove();
  const value = (key: string): number => median(times[key]!);
  return (["ADD", "DEL"] as const).flatMap((verb) => [
    {
      what: `host-local at 10 leases: ${verb}`,
      podwire: value(`podwire ${verb} 10`),
      reference: value(`reference ${verb} 10`),
      runs: rounds,
      target: 0.7,
    },
    {
      what: `host-local at 10,000 leases: ${verb}`,
      podwire: value(`podwire ${verb} 10000`),
      reference: value(`reference ${verb} 10000`),
      runs: rounds,
      target: 1.1,
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
    pods.set(
      side,
      made.map(({ path }) => path),
    );
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
      times[side.name]!.push(
        timeTogether(
          side,
          paths.map((netns, index) => step("ADD", netns, index)),
        ),
      );
      for (const [index, netns] of paths.entries()) measure(side, step("DEL", netns, index));
    }
  }
  for (const side of sides) await side.node.remove();
  const figures = { podwire: median(times.podwire!), reference: median(times.reference!), runs };
  return [{ what: "50 ADDs at once, bridge, ipMasq", ...figures, target: 0.25 }];
}

/** Peak memory of an ADD, and the plugins on disk. */
export async function size(): Promise<Row[]> {
  const sides = await bothSides();
  const peaks: Record<Side["name"], number[]> = { podwire: [], reference: [] };
  const files: Record<Side["name"], number> = { podwire: 0, reference: 0 };
  const runs = 5;
  for (const side of sides) {
    files[side.name] = fileSize(side);
    const { path } = await side.node.pod();
    enter(side);
    for (let round = 0; round < runs; round++) {
      const call = { plugin: "bridge", config: masquerading(side), containerId: `memory-${round}`, netns: path };
      peaks[side.name].push(peakMemory(side, { verb: "ADD", call }));
      measure(side, { verb: "DEL", call });
    }
  }
  for (const side of sides) await side.node.remove();
  const memory = { podwire: median(peaks.podwire), reference: median(peaks.reference), runs };
  return [
    { what: "peak memory of ADD, bridge, ipMasq", ...memory, limit: 4, unit: "MB" },
    { what: "the plugins on disk", ...files, limit: 5, unit: "MB", runs: 1 },
  ];
}
