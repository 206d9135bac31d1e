import { describe, expect, test } from "vitest";
import { apply, makes } from "./doctor-makes.ts";
import type { KindFault } from "./faults-of-kinds.ts";
import { wrongs } from "./scene.ts";

const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** Faults made for real: doctor finds them, repair mends them as it said it would, and CHECK is content. */
export function testKindFaults(faults: readonly KindFault[]): void {
  describe("doctor finds, and repair mends, or says that it cannot:", () => {
    const named = faults.map((fault) => ({ name: `${fault[0]} (${fault[1]})`, fault }));

    test.each(named)("$name", async ({ fault: [, make, breakIt, layer, what, after] }) => {
      const scene = await makes[make]();
      await apply(scene, await breakIt(scene));
      const { findings, exitCode } = await scene.examinePod("default/web-1");
      const first = findings.find(({ state }) => state === "FAULT");
      expect({ layer: first?.layer, what: first?.what }).toEqual({
        layer,
        what: expect.stringMatching(what) as unknown,
      });
      expect(first?.mend).toMatch(/./);
      expect(exitCode).toBe(1);
      const told = await scene.runBeside(PATH, "repair", "--dry-run", "default/web-1");
      const done = await scene.runBeside(PATH, "repair", "default/web-1");
      expect([told.exitCode, told.stderr, done.stderr]).toEqual([1, "", ""]);
      if (after instanceof RegExp) {
        expect([done.exitCode, done.stdout.replaceAll(/\s+/g, " ")]).toEqual([1, expect.stringMatching(after)]);
        return;
      }
      expect(told.stdout).toMatch(/: would /);
      expect([done.exitCode, done.stdout]).toEqual([0, expect.stringMatching(/ things? mended in 1 of 1 pod\.\n$/)]);
      expect(await scene.check()).toBe("");
      expect(wrongs((await scene.examinePod("default/web-1")).findings)).toEqual([]);
      await apply(scene, after(scene));
      expect((await scene.runBeside(PATH, "repair", "default/web-1")).stdout).toBe("Nothing to do in 1 pod.\n");
    });
  });
}
