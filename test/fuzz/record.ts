// Makes test/fuzz/recorded.txt, what the fuzz target's simulated machine knows: runs podwire under Node against this
// kernel, and notes every call to its host and what it was answered. After a change of src that asks other things, or
// scenarios of its own, do it again:
//
//   test/runner/isolated node --import tsx test/fuzz/record.ts
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { requireIsolation, root } from "../harness/paths.ts";
import { escapeBytes, Recorder } from "./recorder.ts";
import { type Call, interfaces, iptables, more, people, prepare } from "./scenarios.ts";

requireIsolation();
const recorder = new Recorder();
Object.assign(globalThis, { host: recorder.host }); // before podwire is loaded
const { main } = (await import("../../src/main.ts")) as { main(args: string[], variables: string[]): number };

/** Every line there is, and its number: most are said by many scenarios. */
const numbers = new Map<string, number>();
const numberOf = (line: string): number => {
  const number = numbers.get(line) ?? numbers.size;
  numbers.set(line, number);
  return number;
};
const escape = (text: string): string => escapeBytes(new TextEncoder().encode(text));
const scenarios: string[] = [];

/** Numbers in their order, 5,6,7,8 as 5-8. */
function listOf(all: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of all) {
    const last = runs.at(-1);
    if (last && last[1] + 1 === number) last[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(" ");
}

function make({ name, argv, environment, stdin }: Call): string {
  recorder.begin(stdin);
  const code = main(argv, environment);
  const { lines, stdout, stderr } = recorder.end();
  console.log(
    `${name}: ${code}, ${lines.length} calls ${(code === 0 ? "" : stdout || stderr).replaceAll(/\s+/g, " ")}`,
  );
  const each = (word: string, values: readonly string[]) => values.map((value) => `${word} ${escape(value)}`);
  const given = [...each("argv", argv), ...each("env", environment), ...each("stdin", [stdin])];
  const calls = `calls ${listOf(lines.map(numberOf))}`;
  scenarios.push([`scenario ${name.trim()}`, ...given, `exit ${code}`, calls].join("\n"));
  return stdout;
}

prepare();
people(make);
interfaces(make);
more(make);
iptables(make);
const file = join(root, "test/fuzz/recorded.txt");
writeFileSync(file, `# Made by test/fuzz/record.ts.\n${[...numbers.keys()].join("\n")}\n\n${scenarios.join("\n\n")}\n`);
console.log(`${file}: ${scenarios.length} scenarios, ${numbers.size} different calls`);
