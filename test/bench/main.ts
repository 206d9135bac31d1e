// `make bench`: podwire and the reference by turns, whole processes, in private namespaces; prints one table.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import type { Verb } from "../harness/invoke.ts";
import { reference, requireIsolation, root } from "../harness/paths.ts";
import { callFor, cases, type Case, umlCases } from "./cases.ts";
import { five } from "./five.ts";
import { growth } from "./growth.ts";
import { mappings } from "./mappings.ts";
import { fullStores, processor, size, start, together } from "./more.ts";
import { bothSides, enter, hasReference, measure, type Side } from "./sides.ts";
import { brief, format, median, type Row } from "./table.ts";

requireIsolation();
const only = process.argv[2];
/** What needs another kernel than this one, on which it is then. */
const isUml = only === "uml";
const rounds = Number(process.env.BENCH_ROUNDS ?? (isUml ? 7 : 40));

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
  // the reference's CHECK of macvlan misses the routes that sbr moved
  run(
    "CHECK",
    chain.filter(({ type }) => type === (each.timed ?? type)),
  );
  run("DEL", chain.toReversed());
}

async function measureCase(each: Case): Promise<Row[]> {
  const sides = await bothSides();
  const missing = each.plugins(sides[1]!).find(({ type }) => !hasReference(String(type)));
  if (missing) {
    console.error(`${each.name}: left out, there is no ${String(missing.type)} of the reference here`);
    return [];
  }
  for (const side of sides) await each.prepare?.(side.node, side);
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
if (only === undefined || only === "five") add(await five());
for (const each of isUml ? umlCases : cases) {
  const name = isUml ? process.argv[3] : only;
  if (name === undefined || each.name.includes(name)) add(await measureCase(each));
}
if (only === undefined || only === "processor") add(await processor());
if (only === undefined || only === "host-local") add(await fullStores());
if (only === undefined || only === "parallel") add(await together());
if (only === undefined || only === "mappings") add(await mappings());
if (only === undefined || only === "size") add(await size());
if (only === undefined || only.startsWith("growth")) add(await growth(only?.split(":")[1]));

if (only === undefined || only === "elsewhere") add(elsewhere());

const folder = join(root, ".cache");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, isUml ? "bench-uml.json" : "bench.json"), JSON.stringify(rows, null, 2));
console.log(
  `\nreference plugins ${reference.newest ? "v1.9.1" : "v1.1.1 (Debian)"}, ${cpus()[0]?.model}, ${cpus().length} processors, Linux ${release()}\n\n${format(rows)}`,
);

/** What this machine's kernel may lack the links of, on another one: none where that is not here. */
function elsewhere(): Row[] {
  if (!existsSync("/usr/bin/linux.uml")) return [];
  const command = ["test/runner/isolated", process.execPath, "--import", "tsx", "test/bench/main.ts", "uml"];
  const { status } = spawnSync("test/runner/uml", command, { cwd: root, stdio: ["ignore", 2, 2] });
  if (status !== 0) throw new Error(`the bench in user-mode Linux ended with ${status}`);
  const there = JSON.parse(readFileSync(join(root, ".cache/bench-uml.json"), "utf8")) as Row[];
  return there.map((row) => ({ ...row, what: `${row.what}, in user-mode Linux` }));
}
