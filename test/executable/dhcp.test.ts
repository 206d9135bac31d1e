import { spawnSync } from "node:child_process";
import { createServer, type Socket } from "node:net";
import { beforeAll, describe, expect, test } from "vitest";
import { attach, bridge, callFor, complaint, failure, namesIn, refusal } from "./configs.ts";
import { DhcpScene, hasReference, Process } from "./dhcp.ts";
import { type CniResult, executable } from "./harness.ts";

const ROUTER = "--dhcp-option=option:router,10.9.0.1";
/** dnsmasq gives no lease for less than two minutes, but says what times it is told, from three seconds on. */
const times = (renew: number, rebind: number): string[] => [
  `--dhcp-option-force=option:T1,${renew}s`,
  `--dhcp-option-force=option:T2,${rebind}s`,
];

/** It asks again soon. */
const SOON = ["--timeout", "300ms", "--resendmax", "1s"];

async function served(scene?: DhcpScene, { server = [] as string[], daemon = [] as string[] } = {}) {
  scene ??= await DhcpScene.make();
  const dnsmasq = await scene.dnsmasq(ROUTER, ...server);
  return { scene, node: scene.node, dnsmasq, daemon: await scene.daemon(...daemon) };
}

/** Cases that wait for most of their time wait together, each in a scene of its own. */
function together(cases: Record<string, (scene: DhcpScene) => Promise<void>>): void {
  const running = new Map<string, Promise<void>>();
  beforeAll(async () => {
    for (const [name, run] of Object.entries(cases)) {
      const outcome = run(await DhcpScene.make());
      outcome.catch(() => undefined); // its test says so
      running.set(name, outcome);
    }
  });
  test.each(Object.keys(cases))("%s", async (name) => expect(await running.get(name)).toBeUndefined());
}

const described = ({ ips, routes }: CniResult) => ({ ips, routes });

describe("dhcp inside the plugins that wire", () => {
  test("macvlan: a lease, packets, CHECK; DEL gives it back by the pod's own address and MAC", async () => {
    const { scene, node, dnsmasq, daemon } = await served();
    const attached = await attach(node, scene.config());
    expect(attached.result).toMatchObject({
      ips: [{ address: expect.stringMatching(/^10\.9\.0\.1\d\d\/24$/) as unknown, gateway: "10.9.0.1", interface: 0 }],
      routes: [{ dst: "0.0.0.0/0", gw: "10.9.0.1" }],
    });
    expect(await attached.pod.ping("10.9.0.1")).toBe(true);
    expect(await complaint(node, attached)).toBe("");
    expect(scene.kept()).toHaveLength(1);
    const capture = await scene.capture("udp dst port 67");
    await node.succeed("DEL", attached.call);
    await dnsmasq.line(new RegExp(`DHCPRELEASE.*${attached.ip4} ${attached.mac}`));
    const outsideMac = (await scene.outside.link("eth0"))!.address;
    await capture.line(new RegExp(`^${attached.mac} > ${outsideMac}.*${attached.ip4}\\.68 > 10\\.9\\.0\\.1\\.67`));
    expect(scene.leased()).toEqual([]);
    expect(scene.kept()).toEqual([]);
    await node.succeed("DEL", attached.call);
    expect(await daemon.stop("SIGTERM")).toBe(0);
  });

  test.each([
    ["at its MAC", 0, []],
    ["to all where the daemon is told so", 0x8000, ["--broadcast"]],
  ])("macvlan is answered %s", async (_where, flags, daemon) => {
    const { scene, node } = await served(undefined, { daemon });
    const asked = await scene.capture(`udp dst port 67 and udp[18:2] = ${flags}`);
    const answered = await scene.capture(`udp src port 67 and${flags ? "" : " not"} ether broadcast`);
    const { mac } = await attach(node, scene.config());
    expect(await asked.line(/ > /)).toContain(`${mac} > ff:ff:ff:ff:ff:ff`);
    expect(await answered.line(/ > /)).toContain(` > ${flags ? "ff:ff:ff:ff:ff:ff" : mac}`);
  });

  test("bridge: the link comes first, and is up; two pods have two addresses and reach each other", async () => {
    const { scene, node } = await served();
    await node.ip("link add br0 type bridge");
    await node.ip("link set br0 up");
    await node.ip("link set uplink master br0");
    const { ipam } = scene.config();
    const [one, two] = [await attach(node, bridge(node, { ipam })), await attach(node, bridge(node, { ipam }))];
    expect(one.ip4).not.toBe(two.ip4);
    expect(await one.pod.ping(two.ip4)).toBe(true);
    expect(await complaint(node, one)).toBe("");
    expect(await complaint(node, two)).toBe("");
    await node.succeed("DEL", one.call);
    expect(await complaint(node, two)).toBe("");
    expect(scene.leased()).toEqual([two.ip4]);
  });

  test("routes, priority, what is provided and asked for", async () => {
    const { scene, node, dnsmasq } = await served(undefined, {
      server: ["--dhcp-option=121,10.77.0.0/16,10.9.0.7,0.0.0.0/0,10.9.0.1"],
    });
    const ipam = {
      priority: 77,
      request: [{ option: "121" }],
      provide: [
        { option: "host-name", fromArg: "K8S_POD_NAME" },
        { option: "dhcp-client-identifier", value: "me" },
      ],
    };
    const args = "IgnoreUnknown=1;K8S_POD_NAME=web-1";
    const { result, pod, call } = await attach(node, scene.config({}, ipam), { args });
    expect(result.routes).toEqual([
      { dst: "10.77.0.0/16", gw: "10.9.0.7", priority: 77 },
      { dst: "0.0.0.0/0", gw: "10.9.0.1", priority: 77 },
    ]);
    expect(await pod.routes()).toMatchObject([
      { dst: "default", gateway: "10.9.0.1", metric: 77 },
      { dst: "10.9.0.0/24" },
      { dst: "10.77.0.0/16", gateway: "10.9.0.7", metric: 77 },
    ]);
    await dnsmasq.line(/client provides name: web-1/);
    await dnsmasq.line(/requested options: 121:.*3:router, 1:netmask/);
    expect(scene.leaseLines()[0]).toContain("6d:65");
    await node.succeed("DEL", call);
    await dnsmasq.line(/DHCPRELEASE/);
    expect(scene.leased()).toEqual([]);
  });

  test("a failed ADD gives the lease back and leaves nothing", async () => {
    const { scene, node, dnsmasq } = await served(undefined, { server: ["--dhcp-option=121,10.77.0.0/16,10.55.0.7"] });
    const call = await callFor(node, scene.config({}, { request: [{ option: "121" }] }));
    const before = await node.snapshot();
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringContaining("gateway") as unknown });
    await dnsmasq.line(/DHCPRELEASE/);
    expect(scene.leased()).toEqual([]);
    expect(await namesIn(call)).toEqual(["lo"]);
    expect(scene.kept()).toEqual([]);
    expect(await node.snapshot()).toEqual(before);
  });

  test("GC gives back what is not valid", async () => {
    const { scene, node, dnsmasq } = await served();
    const [kept, lost] = [await attach(node, scene.config()), await attach(node, scene.config())];
    const valid = [{ containerID: kept.call.containerId, ifname: "eth0" }];
    const config = scene.config({ "cni.dev/valid-attachments": valid });
    await node.succeed("GC", { plugin: "macvlan", config });
    await dnsmasq.line(new RegExp(`DHCPRELEASE.*${lost.ip4}`));
    expect(scene.leased()).toEqual([kept.ip4]);
    expect(await complaint(node, kept)).toBe("");
    expect(await namesIn(lost.call)).toEqual(["lo"]);
  });
});

describe("dhcp by itself", () => {
  test.each(["0.1.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])(
    "ADD in version %s, as the reference",
    async (cniVersion) => {
      const { scene, node } = await served();
      const pod = await node.pod();
      await node.ip(`link add link uplink name eth0 netns ${pod.name} type macvlan mode bridge`);
      const config = { ...scene.config({ type: "dhcp" }), cniVersion };
      const call = { plugin: "dhcp", config, containerId: "c1", netns: pod };
      const { result } = await node.succeed("ADD", call);
      expect((await node.succeed("ADD", call)).result).toEqual(result); // it is the same lease
      expect(await pod.addresses("eth0")).toEqual([]); // what is done with it is the caller's affair
      if (cniVersion >= "0.4.0") await node.succeed("CHECK", { ...call, config: { ...config, prevResult: result } });
      if (cniVersion === "1.1.0") await node.succeed("STATUS", { plugin: "dhcp", config });
      await node.succeed("DEL", call);
      if (!hasReference) return;
      const theirs = await scene.reference();
      const answer = await node.reference("ADD", { ...call, config: theirs.config({ ...config, type: "dhcp" }) });
      expect(answer.result).toEqual(result);
    },
  );
});

describe("a lease is kept up", () => {
  together({
    "a daemon that takes no notice at all: ten seconds, then an error; DEL works": async (scene) => {
      const { node, daemon } = await served(scene);
      const attached = await attach(node, scene.config());
      process.kill(daemon.pid, "SIGSTOP");
      const [added, deleted] = await Promise.all([
        refusal(node, await callFor(node, scene.config())),
        node.podwire("DEL", attached.call),
      ]);
      expect(added).toMatchObject({ code: 11, msg: expect.stringContaining("did not answer within 10 s") as unknown });
      expect(deleted.exitCode).toBe(0);
      expect(scene.leased()).toEqual([]);
      process.kill(daemon.pid, "SIGCONT");
    },
    "renewed at T1 with its server, by the pod's address and MAC; at T2 with whoever answers": async (scene) => {
      const { node, daemon } = await served(scene, { server: times(3, 6), daemon: ["--timeout", "1s"] });
      const capture = await scene.capture("udp dst port 67");
      const { mac, ip4, call } = await attach(node, scene.config());
      const outsideMac = (await scene.outside.link("eth0"))!.address;
      const unicast = new RegExp(`^${mac} > ${outsideMac}.*${ip4}\\.68 > 10\\.9\\.0\\.1\\.67`);
      await capture.line(unicast);
      await daemon.line(/renewed/);
      // from now on the server does not hear what is said to it alone
      const rule = "add rule netdev f i ip daddr 10.9.0.1 udp dport 67 drop";
      await scene.outside.must(
        "nft",
        `add table netdev f; add chain netdev f i { type filter hook ingress device eth0 priority 0; }; ${rule}`,
      );
      const from = [capture.lines.length, daemon.lines.length];
      await capture.line(unicast, { from: from[0]! });
      await capture.line(new RegExp(`^${mac} > ff:ff:ff:ff:ff:ff.*${ip4}\\.68 > 255\\.255\\.255\\.255\\.67`));
      expect(await daemon.line(/renewed/, { from: from[1]! })).toContain("by 10.9.0.1 for 120 s");
      await node.succeed("DEL", call);
    },

    "a server that refuses it (NAK) is asked anew, for the same address; what it says besides is passed over": async (
      scene,
    ) => {
      const server = await scene.hostile();
      const daemon = await scene.daemon(...SOON);
      const attached = await attach(scene.node, scene.config());
      expect(attached.ip4).toBe("10.9.0.50");
      await daemon.line(/refuses to renew it \(NAK: not yours\); asking anew/);
      await server.line(/DISCOVER for 10\.9\.0\.50/);
      await daemon.line(/renewed 10\.9\.0\.50/);
      expect(await complaint(scene.node, attached)).toBe("");
      expect(await attached.pod.ping("10.9.0.1")).toBe(true);
    },

    "where only another address can be had it is lost: the pod has it no more, CHECK says so": async (scene) => {
      const { node, dnsmasq, daemon } = await served(scene, {
        server: times(3, 6),
        daemon: [...SOON, "--resendtimeout", "3s"],
      });
      const attached = await attach(node, scene.config());
      await dnsmasq.stop();
      await scene.outside.ip("address add 10.8.0.1/24 dev eth0");
      await scene.outside.ip("address del 10.9.0.1/24 dev eth0");
      await scene.outside.ip("address add 10.9.0.1/32 dev eth0");
      await scene.dnsmasq("--dhcp-authoritative", "--dhcp-range=10.8.0.100,10.8.0.150,255.255.255.0,120s");
      await daemon.line(/refuses to renew it \(NAK/);
      await daemon.line(/is lost: .*10\.8\.0\.1\d\d of server 10\.8\.0\.1 is offered in place.*taken from the pod/);
      expect(await attached.pod.addresses("eth0")).toEqual([]);
      expect(await complaint(node, attached)).toMatch(/the lease of 10\.9\.0\.\d+\/24 is lost/);
      await node.succeed("DEL", attached.call);
      expect(scene.kept()).toEqual([]);
    },

    "one that is over is taken from the pod, and CHECK says so; by kea": async (scene) => {
      const { node } = scene;
      const kea = await scene.kea({ "valid-lifetime": 12, "renew-timer": 2, "rebind-timer": 8 });
      const daemon = await scene.daemon("--timeout", "500ms");
      const attached = await attach(node, scene.config());
      await kea.line(/DHCP4_LEASE_ALLOC/);
      await daemon.line(/renewed/);
      await kea.stop();
      await daemon.line(/is lost: it is over, and no server renewed it; the address was taken from the pod/);
      expect(await attached.pod.addresses("eth0")).toEqual([]);
      expect(await complaint(node, attached)).toMatch(/is lost: it is over/);
      await node.succeed("DEL", attached.call);
    },

    "kea: ADD, CHECK, renewal, and DEL releases it": async (scene) => {
      const kea = await scene.kea({ "valid-lifetime": 100, "renew-timer": 2, "rebind-timer": 50 });
      const daemon = await scene.daemon();
      const attached = await attach(scene.node, scene.config());
      expect(await attached.pod.ping("10.9.0.1")).toBe(true);
      await daemon.line(/renewed/);
      expect(await complaint(scene.node, attached)).toBe("");
      await scene.node.succeed("DEL", attached.call);
      await kea.line(/DHCP4_RELEASE .*10\.9\.0\.\d+/);
    },

    "a daemon that is killed and started again goes on with it, and a stale socket is no hindrance": async (scene) => {
      const { node, dnsmasq, daemon } = await served(scene, { server: times(3, 100) });
      const attached = await attach(node, scene.config());
      await daemon.stop();
      const from = dnsmasq.lines.length;
      const next = await scene.daemon();
      await next.line(/goes on with 1 lease/);
      await next.line(/renewed/);
      await dnsmasq.line(new RegExp(`DHCPACK.*${attached.ip4}`), { from });
      expect(await complaint(node, attached)).toBe("");
      const other = new Process(node, executable, ["dhcp-daemon", "--socketpath", scene.socketPath]);
      await other.line(/another podwire dhcp-daemon keeps the leases/);
      await node.succeed("DEL", attached.call);
      expect(scene.leased()).toEqual([]);
    },

    "a pod that is gone ends it": async (scene) => {
      const { node, daemon } = await served(scene, { server: times(3, 100) });
      const attached = await attach(node, scene.config());
      await attached.pod.remove();
      await daemon.line(/the pod is gone, and the lease with it/);
      expect(scene.kept()).toEqual([]);
      await node.succeed("DEL", { ...attached.call, netns: "" });
    },
  });
});

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
    expect(scene.leased()).toEqual([]);
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

describe("beside the reference", () => {
  test.runIf(hasReference)("the same server gives the same result to either", async () => {
    const { scene, node } = await served(undefined, {
      server: ["--dhcp-option=121,10.77.0.0/16,0.0.0.0,0.0.0.0/0,10.9.0.1"],
    });
    const theirs = await scene.reference();
    const pod = await node.pod();
    await node.ip(`link add link uplink name eth0 netns ${pod.name} type macvlan mode bridge`);
    for (const request of [[], [{ option: "121" }], [{ skipDefault: true, option: "1" }]]) {
      const config = scene.config({ type: "dhcp" }, { request, priority: 5 });
      const call = { plugin: "dhcp", config, containerId: "c1", netns: pod };
      const ours = await node.succeed("ADD", call);
      await node.succeed("DEL", call);
      const other = { ...call, config: theirs.config(config) };
      const answer = await node.reference("ADD", other);
      expect(answer.exitCode).toBe(0);
      expect(described(answer.result!)).toEqual(described(ours.result!));
      await node.reference("DEL", other);
    }
  });

  test.runIf(hasReference)("each says so where the daemon is the other's", async () => {
    const { scene, node } = await served();
    const theirs = await scene.reference();
    const call = await callFor(node, scene.config());
    expect(failure(await node.reference("ADD", { ...call, plugin: "dhcp" })).msg).toMatch(/podwire dhcp-daemon/);
    const config = theirs.config(scene.config());
    expect(await refusal(node, { ...call, config })).toMatchObject({
      msg: expect.stringContaining("not podwire dhcp-daemon") as unknown,
    });
  });

  test.runIf(hasReference)(
    "CHECK takes over what the reference's daemon leased, and the same address it is",
    async () => {
      const { scene, node, daemon, dnsmasq } = await served();
      const theirs = await scene.reference();
      const call = await callFor(node, theirs.config(scene.config()));
      const added = await node.reference("ADD", { ...call });
      expect(added.exitCode).toBe(0);
      const result = added.result!;
      const own = { ...call, config: { ...scene.config(), prevResult: result } };
      expect((await node.podwire("CHECK", own)).stdout).toBe("");
      await daemon.line(/leased/);
      await node.succeed("DEL", own);
      await dnsmasq.line(/DHCPRELEASE/);
    },
  );
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
