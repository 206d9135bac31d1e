// How many instructions podwire executes: figures that, unlike times, are nearly the same on every machine, every day.
// test/executable/instructions.test.ts holds them to those in instructions.json. This accepts those of a new build:
//   test/runner/isolated node --import tsx test/bench/instructions.ts --write
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { environment, type Call, type CniResult, type Verb } from "../harness/invoke.ts";
import { Node } from "../harness/node.ts";
import { requireIsolation } from "../harness/paths.ts";
import { podwireFolder } from "../harness/podwire-folder.ts";

/** What is counted, and how many instructions it took. */
export type Figures = Record<string, number>;

const file = join(import.meta.dirname, "instructions.json");

/** The accepted figures of each architecture. */
const readAll = (): Record<string, Figures> => JSON.parse(readFileSync(file, "utf8")) as Record<string, Figures>;

/** The accepted figures of this machine's architecture; none where there are none. */
export const acceptedFigures = (): Figures => readAll()[process.arch] ?? {};

/** Executes podwire in the node's namespace under callgrind, which counts. */
export async function count(node: Node, verb: Verb, call: Call): Promise<{ instructions: number; stdout: string }> {
  const folder = podwireFolder();
  const options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
  const run = { env: environment(folder, verb, call), input: JSON.stringify(call.config ?? {}) };
  const { exitCode, stdout, stderr } = await node.run("valgrind", [...options, join(folder, call.plugin)], run);
  const instructions = Number(/Collected\s*:\s*(\d+)/.exec(stderr)?.[1]);
  if (exitCode !== 0 || !(instructions > 0)) {
    throw new Error(`${call.plugin} ${verb} under valgrind: exit ${exitCode}: ${stdout}${stderr}`);
  }
  return { instructions, stdout };
}

export async function onFreshNode(work: (node: Node) => Promise<Figures>): Promise<Figures> {
  const node = await Node.create();
  try {
    return await work(node);
  } finally {
    await node.remove();
  }
}

/** ADD, CHECK and DEL of a pod on a node where one lives already, so that bridge, tables and folders are there. */
const countCycle = async (name: string, more: object): Promise<Figures> =>
  onFreshNode(async (node) => {
    const ipam = { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" };
    const about = { cniVersion: "1.1.0", name: "net", type: "bridge", bridge: "br0", isDefaultGateway: true };
    const config = { ...about, ipam, ...more };
    await node.succeed("ADD", { plugin: "bridge", config, containerId: "lives", netns: await node.pod() });
    const call = { plugin: "bridge", config, containerId: "counted", netns: await node.pod() };
    const { instructions, stdout } = await count(node, "ADD", call);
    const later = { ...call, config: { ...config, prevResult: JSON.parse(stdout) as CniResult } };
    return {
      [`${name} ADD`]: instructions,
      [`${name} CHECK`]: (await count(node, "CHECK", later)).instructions,
      [`${name} DEL`]: (await count(node, "DEL", later)).instructions,
    };
  });

const countVersion = async (): Promise<Figures> =>
  onFreshNode(async (node) => {
    const { instructions } = await count(node, "VERSION", { plugin: "bridge", config: { cniVersion: "1.1.0" } });
    return { VERSION: instructions };
  });

/** Counts everything there is a figure for. */
export async function countInstructions(): Promise<Figures> {
  requireIsolation();
  return {
    ...(await countVersion()),
    ...(await countCycle("bridge", {})),
    ...(await countCycle("bridge, ipMasq", { ipMasq: true })),
  };
}

/** The figures as lines, beside the accepted ones. */
export function format(figures: Figures, accepted: Figures): string {
  const lines = Object.entries(figures).map(([name, value]) => {
    const known = accepted[name];
    const change = known === undefined ? "no figure accepted" : `${((value / known - 1) * 100).toFixed(2)} %`;
    return `${name.padEnd(24)} ${value.toLocaleString("en").padStart(12)}  ${change}`;
  });
  return lines.join("\n");
}

if (process.argv[1] === import.meta.filename) {
  const figures = await countInstructions();
  console.log(format(figures, acceptedFigures()));
  const text = JSON.stringify({ ...readAll(), [process.arch]: figures }, null, 2);
  if (process.argv.includes("--write")) writeFileSync(file, `${text}\n`);
}
