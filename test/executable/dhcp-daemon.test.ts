import { spawnSync } from "node:child_process";
import { createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { attach, callFor, complaint, failure, namesIn, refusal } from "./configs.ts";
import { DhcpScene, Process } from "./dhcp.ts";
import { executable } from "./harness.ts";
import { ROUTER, served } from "./dhcp-served.ts";

// The daemon is away, hung, ended, restarted, and started in every way there is.

describe("whatever the daemon does", () => {
  test("none runs: ADD and CHECK say what to start, STATUS is 50, DEL works and gives the lease back", async () => {
    const { scene, node, dnsmasq, daemon } = await served();
    const attached = await attach(node, scene.config());
    await daemon.stop();
    const none = {
      code: 11,
      msg: expect.stringMatching(/no DHCP daemon answers at .*: is podwire dhcp-daemon run/) as unknown,
    };
    const call = await callFor(node, scene.config());
    expect(await refusal(node, call)).toMatchObject(none);
    expect(await namesIn(call)).toEqual(["lo"]);
    expect(await complaint(node, attached)).toMatch(/no DHCP daemon/);
    expect(failure(await node.podwire("STATUS", { plugin: "macvlan", config: scene.config() }))).toMatchObject({
      ...none,
      code: 50,
    });
    await node.succeed("DEL", attached.call);
    await dnsmasq.line(new RegExp(`DHCPRELEASE.*${attached.ip4} ${attached.mac}`));
    await scene.hasLeased([]);
    expect(scene.kept()).toEqual([]);
  });

  test("it is killed while ADD waits: ADD says so and leaves nothing", async () => {
    const scene = await DhcpScene.make();
    const { node } = scene;
    const capture = await scene.capture("udp dst port 67");
    const daemon = await scene.daemon();
    const before = await node.snapshot();
    const call = await callFor(node, scene.config());
    const waiting = refusal(node, call);
    await capture.line(/68 > 255/);
    await daemon.stop();
    expect(await waiting).toMatchObject({
      code: 11,
      msg: expect.stringContaining("ended before it had answered") as unknown,
    });
    expect(await namesIn(call)).toEqual(["lo"]);
    expect(await node.snapshot()).toEqual(before);
  });

  test("no server answers: ADD ends in time, says so, and leaves nothing", async () => {
    const scene = await DhcpScene.make();
    await scene.daemon("--timeout", "100ms", "--resendtimeout", "1s");
    const call = await callFor(scene.node, scene.config());
    expect(await refusal(scene.node, call)).toMatchObject({
      code: 11,
      msg: expect.stringMatching(/DHCP gave link eth0 no lease: no server answered \d DISCOVERs/) as unknown,
    });
    expect(await namesIn(call)).toEqual(["lo"]);
  });

  test("a DEL while ADD waits ends the wait", async () => {
    const scene = await DhcpScene.make();
    const capture = await scene.capture("udp dst port 67");
    await scene.daemon();
    const call = await callFor(scene.node, scene.config());
    const waiting = refusal(scene.node, call);
    await capture.line(/68 > 255/);
    await scene.node.succeed("DEL", call);
    expect(await waiting).toMatchObject({ code: 11 });
    expect(await namesIn(call)).toEqual(["lo"]);
  });

  const greeting = '{"podwire":"dhcp-daemon","withinMs":60000}\n';
  test.each<[string, (socket: Socket) => void, RegExp, number]>([
    ["half an answer", (socket) => socket.end(`${greeting}{"resu`), /ended before it had answered/, 11],
    [
      "silence after its greeting",
      (socket) => void socket.write(greeting.replace("60000", "200")),
      /did not answer within/,
      11,
    ],
    ["a huge answer", (socket) => socket.end(greeting + "x".repeat(3 << 20)), /ended before it had answered/, 11],
    ["no JSON", (socket) => socket.end(`${greeting}x\n`), /answer of the DHCP daemon/, 6],
    ["a wrong result", (socket) => socket.end(`${greeting}{"result":{"ips":[{}]}}\n`), /ips\[0\]\.address/, 6],
    [
      "what another program says",
      (socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"),
      /is not podwire dhcp-daemon/,
      11,
    ],
  ])("it gives %s", async (_what, answer, message, code) => {
    const scene = await DhcpScene.make();
    spawnSync("mkdir", ["-p", `${scene.folder}/cni`]);
    const server = createServer((socket) => {
      socket.on("error", () => undefined).once("data", () => answer(socket));
    });
    await new Promise<void>((resolve) => server.listen(scene.socketPath, resolve));
    const call = await callFor(scene.node, scene.config());
    expect(await refusal(scene.node, call)).toMatchObject({ code, msg: expect.stringMatching(message) as unknown });
    expect(await namesIn(call)).toEqual(["lo"]);
    await scene.node.succeed("DEL", call);
    server.close();
  });
});

test("the daemon is started as the reference's, and by systemd's descriptor", async () => {
  const scene = await DhcpScene.make();
  const pidfile = `${scene.folder}/pid`;
  const named = new Process(scene.node, "sh", [
    "-c",
    `ln -s ${executable} ${scene.folder}/dhcp; exec ${scene.folder}/dhcp daemon -pidfile ${pidfile} -socketpath=${scene.socketPath} -timeout 500ms`,
  ]);
  await named.line(/listens at/);
  await scene.node.succeed("STATUS", { plugin: "dhcp", config: scene.config({ type: "dhcp" }) });
  expect(spawnSync("cat", [pidfile], { encoding: "utf8" }).stdout).toBe(`${named.pid}`);
  expect(await named.stop("SIGTERM")).toBe(0);
  expect(spawnSync("ls", [scene.socketPath, pidfile]).status).not.toBe(0);
  const activated = new Process(scene.node, "python3", [
    "-c",
    [
      "import os, socket",
      "s = socket.socket(socket.AF_UNIX)",
      `s.bind(${JSON.stringify(scene.socketPath)})`,
      "s.listen(5)",
      "s.fileno() == 3 or os.dup2(s.fileno(), 3)",
      "os.set_inheritable(3, True)",
      'os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))',
      `os.execv(${JSON.stringify(executable)}, ["podwire", "dhcp-daemon", "--socketpath", ${JSON.stringify(scene.socketPath)}])`,
    ].join("\n"),
  ]);
  await activated.line(/listens at/);
  await scene.node.succeed("STATUS", { plugin: "dhcp", config: scene.config({ type: "dhcp" }) });
  expect(await activated.stop("SIGTERM")).toBe(0);
});

test("the daemon with a prefix before the host's paths", async () => {
  const scene = await DhcpScene.make();
  await scene.dnsmasq(ROUTER);
  const prefix = `${scene.folder}/host`;
  await scene.node.must("mkdir", prefix);
  await scene.node.must("ln", "-s", "/run", `${prefix}/run`);
  const daemon = await scene.daemon("--hostprefix", prefix);
  expect(daemon.lines[0]).toContain(`listens at ${prefix}/run/`);
  const attached = await attach(scene.node, scene.config());
  expect(await complaint(scene.node, attached)).toBe("");
  await scene.node.succeed("DEL", attached.call);
  expect(scene.kept()).toEqual([]);
});

test.each<[string, string, RegExp]>([
  ["a relative path", "dhcp-daemon --pidfile pid", /--pidfile is "pid", must be an absolute path/],
  ["a time that is none", "dhcp-daemon --timeout soon", /--timeout is "soon", must be a time from 1ms to 24h/],
  ["two sockets", "dhcp-daemon --socketpath $0/dhcp.sock", /Too many \(2\) FDs passed through socket activation/],
])("the daemon does not start with %s, and says so", async (_what, args, message) => {
  const { node, folder } = await DhcpScene.make();
  const script = `LISTEN_PID=$$ LISTEN_FDS=2 exec ${executable} ${args}`;
  const { exitCode, stderr } = await node.run("sh", ["-c", script, folder]);
  expect(exitCode).not.toBe(0);
  expect(stderr).toMatch(message);
});
