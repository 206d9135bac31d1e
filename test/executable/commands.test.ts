import { beforeAll, describe, expect, test } from "vitest";
import { loadConf } from "./harness.ts";
import { Scene } from "./scene.ts";

// What is the same for every command that looks at a node.

const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
const commands = ["doctor", "map", "repair", "gc", "leases"];

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.make(loadConf("ptp.json"));
});

describe("every command", () => {
  test.each(commands)("%s says the same as JSON", async (command) => {
    const { stdout, exitCode, stderr } = await scene.runBeside(PATH, command, "--json");
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toBeInstanceOf(Object);
  });

  test.each(commands)("%s says to an ordinary user what takes root, and that it could not look", async (command) => {
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    const { exitCode, stdout, stderr } = await scene.runAs(nobody, command);
    expect([exitCode, stderr + stdout]).toEqual([2, expect.stringMatching(/run this as root/)]);
  });
});

describe("a network that nobody knows of was mistyped", () => {
  test.each(commands)("%s says so", async (command) => {
    const { exitCode, stdout, stderr } = await scene.runBeside(PATH, command, "--network", "kindnte");
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/no network is named kindnte .*(did you mean|there are|there is)/);
  });
});

describe("on a terminal", () => {
  /** What doctor writes to one; script(1) makes it. */
  const shown = async (variables: string): Promise<string> => {
    const line = scene.lineOf("doctor").join(" ");
    const { stdout } = await scene.node.run("script", ["-qec", `env ${variables} ${line}`, "/dev/null"]);
    return stdout;
  };

  test("states are in colour, and nothing else; without the colour it is the same text", async () => {
    const coloured = await shown("TERM=xterm");
    expect(coloured).toContain("  \x1b[32mok\x1b[0m    plugins");
    expect(coloured.replaceAll("\x1b[32m", "").replaceAll("\x1b[0m", "")).not.toContain("\x1b");
  });

  test.each(["TERM=dumb", "TERM=xterm NO_COLOR=1", "TERM="])("%s: none", async (variables) => {
    const text = await shown(variables);
    expect([text.includes("\x1b"), text.includes("  ok    plugins")]).toEqual([false, true]);
  });

  test("a file and a pipe have none", async () => {
    expect((await scene.run()).stdout).not.toContain("\x1b");
  });
});

describe("a pod is called by", () => {
  test.each<[string, (scene: Scene) => string]>([
    ["its name", () => "default/web-1"],
    ["its name without the namespace", () => "web-1"],
    ["its container id", () => "web-1-id"],
    ["the beginning of that", () => "web-1-i"],
    ["its address", ({ first }) => first.ip4],
    ["the host's interface", ({ first }) => first.hostVeth],
    ["the path of its namespace", ({ first }) => first.pod.path],
    ["the name of its namespace", ({ first }) => first.pod.name],
  ])("%s, of doctor and of repair", async (_what, word) => {
    const { stdout } = await scene.run(word(scene));
    expect(stdout).toMatch(/^default\/web-1 {3}10\.27\.0\.2 /);
    const repaired = await scene.runBeside(PATH, "repair", word(scene), "--json");
    expect(JSON.parse(repaired.stdout)).toMatchObject({ attachments: [{ containerId: "web-1-id" }] });
  });

  test.each(["bridge", "ptp"])("the host's interface of a pod the reference made by %s, too", async (type) => {
    const theirs = await Scene.make(loadConf(`${type}.json`), { by: "reference" });
    expect((await theirs.run(theirs.first.hostVeth)).stdout).toMatch(/^default\/web-1 /);
  });
});
