import { execa } from "execa";
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { bridge, callFor, type Config, everything, failure } from "./configs.ts";
import { temporaryFolder, type Answer, type Call, Node, type Verb } from "./harness.ts";

// What stands, by chance or by somebody's will, where podwire keeps its own: a folder may be one that anybody writes
// to.

const OWN = [
  "net/lock",
  "net/last_reserved_ip.0",
  "net/10.9.0.2",
  ".podwire/net/pod:eth0",
  ".podwire/net/.new-pod:eth0",
  ".podwire/net/.census",
  ".podwire/net/.stamp",
];

/** Every verb, one after the other; each must end by itself. */
async function callAll(node: Node, config: Config): Promise<Answer[]> {
  const call = await callFor(node, config, { containerId: "pod" });
  const all = { ...call, config: { ...config, "cni.dev/valid-attachments": [] } };
  const steps: [Verb, Call][] = [
    ["STATUS", call],
    ["ADD", call],
    ["DEL", call],
    ["GC", all],
    ["ADD", call],
    ["GC", all],
    ["DEL", call],
  ];
  const answers: Answer[] = [];
  for (const [verb, each] of steps) answers.push(await node.podwire(verb, each));
  return answers;
}

describe("a pipe that nobody writes to", () => {
  test.each(OWN)("at %s holds no verb up", async (name) => {
    const node = await Node.create();
    const path = join(node.dataDir, name);
    mkdirSync(dirname(path), { recursive: true });
    await execa("mkfifo", [path]);
    for (const { exitCode, error } of await callAll(node, bridge(node))) {
      expect([exitCode, exitCode === 0 || error!.msg.includes(path)]).toEqual([exitCode, true]);
    }
  });

  test.each(["/run/podwire/marker", "/run/podwire-iptables.lock"])("at %s does not either", async (path) => {
    const node = await Node.create();
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    await execa("mkfifo", [path]);
    try {
      const answers = await callAll(node, everything(node, { ipMasqBackend: "iptables" }));
      expect(answers.map(({ exitCode }) => exitCode)).toEqual(answers.map(() => 0));
    } finally {
      rmSync(path);
    }
  });

  test("as CNI_NETNS is no namespace", async () => {
    const node = await Node.create();
    const pipe = join(temporaryFolder("pipe"), "netns");
    await execa("mkfifo", [pipe]);
    const call = await callFor(node, bridge(node), { netns: pipe });
    expect(failure(await node.podwire("ADD", call))).toMatchObject({ code: 4 });
    await node.succeed("DEL", call);
  });
});

describe("a link to somebody's file", () => {
  test.each(OWN)("at %s: root writes nothing there", async (name) => {
    const node = await Node.create();
    const path = join(node.dataDir, name);
    mkdirSync(dirname(path), { recursive: true });
    const folder = temporaryFolder("victim");
    for (const target of ["file", "new"]) {
      writeFileSync(join(folder, "file"), "precious\n");
      rmSync(path, { force: true });
      symlinkSync(join(folder, target), path);
      await callAll(node, bridge(node));
      expect(readFileSync(join(folder, "file"), "utf8")).toBe("precious\n");
      expect(() => statSync(join(folder, "new"))).toThrow("ENOENT");
    }
  });

  test.each(OWN)(
    "another name of somebody's file at %s: root writes nothing there, nor changes whose it is",
    async (name) => {
      const node = await Node.create();
      const path = join(node.dataDir, name);
      mkdirSync(dirname(path), { recursive: true });
      const victim = join(node.dataDir, "victim");
      writeFileSync(victim, "precious\n", { mode: 0o644 });
      linkSync(victim, path);
      await callAll(node, bridge(node));
      expect([readFileSync(victim, "utf8"), statSync(victim).mode & 0o777]).toEqual(["precious\n", 0o644]);
    },
  );

  test("what a killed ADD left, linked to its lease, is no such name: the same container's next ADD works", async () => {
    const node = await Node.create();
    const call = await callFor(node, bridge(node), { containerId: "pod" });
    for (const folder of ["net", ".podwire/net"]) mkdirSync(join(node.dataDir, folder), { recursive: true });
    writeFileSync(join(node.dataDir, ".podwire/net/.new-pod:eth0"), "pod\r\neth0");
    linkSync(join(node.dataDir, ".podwire/net/.new-pod:eth0"), join(node.dataDir, "net/10.9.0.9"));
    await node.succeed("DEL", call);
    await node.succeed("ADD", call);
    expect(node.leases()).toEqual({ "net/10.9.0.2": "pod\r\neth0" });
  });

  test("that never ends is not read", async () => {
    const node = await Node.create();
    mkdirSync(join(node.dataDir, "net"));
    symlinkSync("/dev/zero", join(node.dataDir, "net/last_reserved_ip.0"));
    const [, added] = await callAll(node, bridge(node));
    expect(added!.exitCode === 0 || added!.error!.msg.includes("last_reserved_ip.0")).toBe(true);
  });
});
