import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { executable as podwire } from "../harness/paths.ts";
import { executableOf, machines, run } from "./engine.ts";

// What the build left in the heap has no reference counts any more. All of it is used here in every way in which the
// engine asks for one: to free it, to copy it before it is changed, to change it where it is.

/** Made at build time. */
const before = `
  const text = ["ab", "cd"].join(""), wide = "\\u2192" + text;
  let rope = "x".repeat(3000); for (let n = 0; n < 50; n++) rope += "part " + n;
  const part = ("long enough to be cut " + "y".repeat(9000)).slice(5, 8000);
  const shared = { a: 1, b: [1, 2, 3], c: { d: text } };
  const alone = { p: 1, q: 2, r: 3, s: 4 }; delete alone.q;
  const other = Object.assign(Object.create({ inherited: text }), { k: 1 });
  const map = new Map([[text, { n: 1 }], [shared, 2]]), set = new Set([1, text]);
  const numbers = [5, 3, 9], bytes = Uint8Array.of(1, 2, 3, 4), big = 2n ** 80n, symbol = Symbol("own");
  class Counter { static made = 0; #n = 0; constructor() { Counter.made++; } up() { return ++this.#n; } }
  const counter = new Counter(); let closed = 0; const close = (by) => (closed += by);
  const pattern = /(\\w+)=(\\d+)/gy, frozen = Object.freeze({ deep: [shared] });
  const generator = (function* () { let n = 0; while (n < 5) yield [n++, text]; })(); generator.next();
  const held = { get value() { return text + closed; }, [symbol]: big };
`;

/** What it comes to when it is used a number of times. */
const body = `
  const results = [];
  for (let round = 0; round < 300; round++) {
    let joined = text; joined += "!"; joined += round; const again = wide + text + rope.slice(-3) + part.length;
    let grown = text; for (let n = 0; n < 20; n++) grown += part.slice(n, n + 3);
    shared["k" + (round % 7)] = joined; delete shared["k" + ((round + 3) % 7)];
    alone["z" + round] = again; if (round % 3 === 0) delete alone["z" + (round - 2)];
    other.more ??= []; other.more.push(other.inherited); Object.setPrototypeOf(other, { inherited: joined });
    map.set(text + round, { joined }); map.delete(text + (round - 5)); set.add(grown); set.delete(text);
    numbers.push(round); numbers.sort((x, y) => y - x); numbers.splice(2, 1); bytes.set([round], round % 4);
    shared.b = [...shared.b, round].slice(-4); shared.c = { ...shared.c, round }; shared.c.d = shared.c.d.slice(0, 9) + round;
    counter.up(); new Counter(); close(round); pattern.lastIndex = 0;
    const found = pattern.exec("key=" + round); const { value } = generator.next();
    Counter.prototype["m" + (round % 5)] = () => text; Array.prototype.extra = round; const list = [text].concat(numbers);
    const copy = JSON.parse(JSON.stringify({ shared, alone: Object.keys(alone).length, held: held.value, list }));
    if (round % 60 === 7) results.push([joined, again, grown, copy, [...map.keys()].slice(-3), set.size, numbers.length,
      [...bytes], (held[symbol] + BigInt(round)).toString(), Counter.made, counter.up(), closed, found, value ?? null,
      other.more.length, other.inherited, text, wide, rope.length, part.slice(0, 20), counter.m1?.() ?? null,
      frozen.deep[0].c.d, Object.keys(Counter.prototype)]);
  }
  delete Array.prototype.extra;
  say(results);
`;

describe("what the build left in the heap", () => {
  test.each(machines)("is used and changed as anything else ($name)", (machine) => {
    const expected = runInNewContext(
      `let said; const say = (value) => (said = JSON.stringify(value)); (() => { ${before} ${body} })(); said`,
    ) as string;
    expect(JSON.parse(expected)).toHaveLength(5);
    expect(run(executableOf(body, { before, machine }))).toEqual([JSON.parse(expected)]);
  });

  test("outlives any number of uses, and holds nothing that is made later", () => {
    const executable = executableOf(
      `let kept = []; for (let n = 0; n < 2_000_000; n++) { const one = list[n % 3]; kept[n % 1000] = [one, one.name]; }
      for (const one of list) one.name = "now " + one.name; list.length = 1; kept = [];
      const fresh = Array.from({ length: 5000 }, (_, n) => ({ n, name: "fresh " + n }));
      say([list, first.name, fresh.every(({ n, name }) => name === "fresh " + n)])`,
      { before: 'const list = ["a", "b", "c"].map((name) => ({ name })), first = list[0];' },
    );
    expect(run(executable)).toEqual([[[{ name: "now a" }], "now a", true]]);
  });

  test("is not copied by a call: of the 2.7 MB few pages are written to", () => {
    const folder = mkdtempSync(join(tmpdir(), "podwire-frozen-"));
    const input = join(folder, "input");
    // refused as late as can be without a namespace: all of the configuration is read
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.1.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] };
    writeFileSync(input, JSON.stringify({ cniVersion: "1.0.0", name: "n", type: "bridge", isGateway: true, ipam }));
    const env = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "c",
      CNI_NETNS: join(folder, "none"),
      CNI_IFNAME: "eth0",
      CNI_PATH: folder,
    };
    const faultsOf = (command: string): number => {
      const shell = `exec 0<"${input}"; ${command} >/dev/null; read -r line </proc/$$/stat; echo "$line"`;
      const { stdout } = spawnSync("/bin/sh", ["-c", shell], {
        env: { ...env, PATH: "/usr/bin:/bin" },
        encoding: "utf8",
      });
      // proc_pid_stat(5): field 11 counts the minor faults of children that were waited for
      return Number(stdout.slice(stdout.lastIndexOf(")")).split(" ")[9]);
    };
    expect(faultsOf(podwire) - faultsOf("/bin/true")).toBeLessThan(150);
    expect(faultsOf(podwire)).toBeGreaterThan(30);
  });
});
