import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { Verb } from "../harness/invoke.ts";
import { Node } from "../harness/node.ts";
import { root } from "../harness/paths.ts";
import { bothSides, enter, measure, type Side } from "./sides.ts";
import { median, type Row } from "./table.ts";

// What the other plugins cost who does not use them: podwire against a podwire that has five.

/** By their names in the registry. */
const FIVE = { bridge: "bridge", ptp: "ptp", loopback: "loopback", hostLocal: "host-local", portmap: "portmap" };

/** The registry with five plugins: lines of the list, and their imports, of the others left out. */
function cut(registry: string): string {
  const kept = registry.split("\n").filter((line) => {
    const name = (/^import \{ (\w+) \} from "\.\/(?:interface|chained|ipam)\//.exec(line) ??
      /^ {2}(?:(?:interface|chained)Plugin\()?(\w+)\)?(?:\(.*\))?,$/.exec(line))?.[1];
    return name === undefined || name in FIVE;
  });
  return kept.join("\n");
}

/** Built as the Makefile builds podwire, into a folder of links named like the plugins. */
async function buildFive(): Promise<string> {
  const folder = join(root, ".cache/bench-bin/five");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const outfile = join(folder, "podwire.js");
  await build({
    entryPoints: [join(root, "src/main.ts")],
    bundle: true,
    format: "iife",
    globalName: "podwire",
    conditions: ["podwire"],
    target: "es2023",
    minifySyntax: true,
    minifyWhitespace: true,
    preserveSymlinks: true,
    outfile,
    plugins: [
      {
        name: "five plugins",
        setup: ({ onLoad }) =>
          onLoad({ filter: /src\/plugins\/registry\.ts$/ }, ({ path }) => ({
            contents: cut(readFileSync(path, "utf8")),
            loader: "ts",
          })),
      },
    ],
  });
  const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
  const engine = join(root, `.cache/engine/${arch}-unknown-linux-gnu/release/engine`);
  execFileSync(engine, [outfile, join(folder, "podwire"), join(root, ".cache/rehearsal.js")], { env: {} });
  for (const name of Object.values(FIVE)) symlinkSync("podwire", join(folder, name));
  return folder;
}

/** Starting podwire, and an ADD of bridge, by the executable with all plugins and by the one with five. */
export async function five(): Promise<Row[]> {
  const [all] = await bothSides();
  const sides: Side[] = [all!, { name: "podwire", folder: await buildFive(), node: await Node.create() }];
  const runs = Number(process.env.BENCH_ROUNDS ?? 40) * 10;
  const pods = new Map<Side, string>();
  for (const side of sides) pods.set(side, (await side.node.pod()).path);
  const times = new Map(sides.map((side) => [side, { VERSION: [] as number[], ADD: [] as number[] }]));
  for (let round = -2; round < runs; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      enter(side);
      const ipam = { type: "host-local", dataDir: side.node.dataDir, subnet: "10.61.0.0/16" };
      const config = { cniVersion: "1.0.0", name: "bench", type: "bridge", bridge: "br0", isGateway: true, ipam };
      const call = { plugin: "bridge", config, containerId: `five-${round + 2}`, netns: pods.get(side)! };
      const time = (verb: Verb): number => measure(side, { verb, call }).ms;
      const [version, add] = [time("VERSION"), time("ADD")];
      time("DEL");
      if (round < 0) continue;
      times.get(side)!.VERSION.push(version);
      times.get(side)!.ADD.push(add);
    }
  }
  for (const side of sides) await side.node.remove();
  return (["VERSION", "ADD"] as const).map((verb) => {
    const [podwire, value] = sides.map((side) => median(times.get(side)![verb]));
    const what =
      verb === "ADD" ? "bridge: ADD, all plugins in the file" : "start of the executable, all plugins in the file";
    return { what, podwire: podwire!, against: { what: "with five", value: value! }, target: 1.05, runs };
  });
}
