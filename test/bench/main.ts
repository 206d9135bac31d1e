// `make bench`: podwire and the reference by turns, whole processes, in private namespaces; prints one table.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import type { Verb } from "../harness/invoke.ts";
import { reference, requireIsolation } from "../harness/paths.ts";
import { callFor, cases, type Case } from "./cases.ts";
import { growth } from "./growth.ts";
import { mappings } from "./mappings.ts";
import { fullStores, processor, size, start, together } from "./more.ts";
import { bothSides, enter, measure, type Side } from "./sides.ts";
import { brief, format, median, type Row } from "./table.ts";

requireIsolation();
const rounds = Number(process.env.BENCH_ROUNDS ?? 40);
const only = process.argv[2];

/** By verb, then by side. */
type Times = Record<string, Record<Side["name"], number[]>>;

/** One ADD, CHECK, DEL through a case's chain on one side; the times of a chain's processes are added up. */
function cycle(side: Side, each: Case, container: { id: string; netns: string }, times: Times): void {
  const version = each.version ?? "1.0.0";
  const chain = each.plugins(side);
  let prevResult: unknown;
  const run = (verb: Verb, plugins: Record<string, unknown>[]): void => {
    let sum = 0;
    for (const plugin of plugins) {
      const config = { ...plugin, ...(prevResult ? { prevResult } : {}) };
      const { ms, stdout } = measure(side, { verb, call: callFor(config, version, container) });
      if (plugin.type === (each.timed ?? plugin.type)) sum += ms;
      if (verb === "ADD") prevResult = JSON.parse(stdout);
    }
    (times[verb] ??= { podwire: [], reference: [] })[side.name].push(sum);
  };
  run("ADD", chain);
  run("CHECK", chain);
  run("DEL", chain.toReversed());
}

async function measureCase(each: Case): Promise<Row[]> {
  const sides = await bothSides();
  for (const side of sides) await each.prepare?.(side.node);
  const pods = new Map<Side, string>();
  for (const side of sides) pods.set(side, (await side.node.pod()).path);
  const times: Times = {};
  const count = Math.min(each.rounds ?? rounds, rounds);
  for (let round = -2; round < count; round++) {
    const order = round % 2 === 0 ? sides : sides.toReversed();
    // two rounds that are not counted: the first ADD makes what stays (bridge, tables, folders)
    for (const side of order) {
      enter(side);
      cycle(side, each, { id: `bench-${round + 2}`, netns: pods.get(side)! }, round < 0 ? {} : times);
    }
  }
  for (const side of sides) await side.node.remove();
  return Object.entries(times).map(([verb, by]) => {
    const target = each.targets?.[verb as Verb];
    const figures = { podwire: median(by.podwire), reference: median(by.reference), runs: count };
    return { what: `${each.name}: ${verb}`, ...figures, ...(target !== undefined && { target }) };
  });
}

const rows: Row[] = [];
const add = (more: Row[]): void => {
  rows.push(...more);
  for (const row of more) console.error(brief(row));
};

console.error(`reference: ${reference.folder}; ${cpus().length} processors, Linux ${release()}`);
if (only === undefined || only === "start") add(await start());
for (const each of cases) if (only === undefined || each.name.includes(only)) add(await measureCase(each));
if (only === undefined || only === "processor") add(await processor());
if (only === undefined || only === "host-local") add(await fullStores());
if (only === undefined || only === "parallel") add(await together());
if (only === undefined || only === "mappings") add(await mappings());
if (only === undefined || only === "size") add(await size());
if (only === undefined || only.startsWith("growth")) add(await growth(only?.split(":")[1]));

const table = format(rows);
const folder = join(import.meta.dirname, "../../.cache");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "bench.json"), JSON.stringify(rows, null, 2));
console.log(
  `\nreference plugins ${reference.newest ? "v1.9.1" : "v1.1.1 (Debian)"}, ${cpus()[0]?.model}, ${cpus().length} processors, Linux ${release()}\n\n${table}`,
);
