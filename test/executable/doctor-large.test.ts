import { expect, test } from "vitest";
import { executable, loadConf, podwireFolder } from "./harness.ts";
import { Scene } from "./scene.ts";

/** 300 may take two seconds; a third of them is made in a third of the time. */
const PODS = 100;
const TOGETHER = 10;
const LIMITS = ["--cpu=2", "--as=104857600"];

test("a large node is looked at in seconds of processor time and 100 MB", async () => {
  const scene = await Scene.make(loadConf("kindnet-dual-stack.conflist"), { pods: 0 });
  for (let at = 0; at < PODS; at += TOGETHER) {
    await Promise.all(Array.from({ length: TOGETHER }, async (_, n) => scene.add(`web-${at + n}`)));
  }
  const places = ["--data-dir", scene.node.dataDir, "--results-dir", scene.results, "--conf-dir", scene.confDir];
  const said = async (command: string, ...more: string[]) =>
    scene.node.run("prlimit", [...LIMITS, executable, command, ...places, ...more], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
  const node = await said("doctor", "--bin-dir", podwireFolder());
  expect(node).toMatchObject({ exitCode: 0, stderr: "" });
  expect(node.stdout).toMatch(/100 pods, each as it was made\n\nNo faults\. Took [\d.]+ s\.\n$/);
  expect(await said("leases")).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/: 100 of 253 leased/) as unknown,
  });
  expect(await said("gc")).toMatchObject({ exitCode: 0, stdout: "Nothing is left of pods that are gone.\n" });
});
