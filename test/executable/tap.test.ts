import { chmodSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { describe, expect, test } from "vitest";
import { executableOf } from "../engine/engine.ts";
import {
  attach,
  type Attached,
  callFor,
  complaint,
  type Config,
  dataOf,
  dualStack,
  failure,
  hostLocal,
  linkOf,
  namesIn,
  programs,
  refusal,
} from "./configs.ts";
import { trace } from "../fault/strace.ts";
import { environment } from "../harness/invoke.ts";
import { type Namespace, Node, podwireFolder, reference } from "./harness.ts";

// What is the same for tap as for macvlan (evidence of whose a link is, GC's namespaces) is tested in macvlan.test.ts.

const tap = (node: Node, more: object = {}): Config => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "tap",
  ipam: hostLocal(node),
  ...more,
});

/** A machine behind the TAP device eth0, until it is stopped, or after a minute: it has every address, and answers pings. */
const machine = executableOf(`
  const fd = 9;
  const request = new Uint8Array(40);
  request.set(utf8("eth0"));
  new DataView(request.buffer).setUint16(16, Number(args[1]), true);
  say(host.ioctl(fd, 0x400454ca, request));
  const frame = new Uint8Array(2000);
  const view = new DataView(frame.buffer);
  const poll = new Uint8Array(8);
  const until = host.nanoseconds() + 60e9;
  const swap = (a, b, size) => {
    const kept = frame.slice(a, a + size);
    frame.copyWithin(a, b, b + size);
    frame.set(kept, b);
  };
  while (host.nanoseconds() < until) {
    new DataView(poll.buffer).setInt32(0, fd, true);
    poll[4] = 1;
    if (host.poll(poll, 1000) <= 0) continue;
    const length = host.read(fd, frame);
    const mac = [2, 0, 0, 0, 0, 0x77];
    if (length < 0) break;
    if (view.getUint16(12) === 0x0806 && frame[21] === 1) {
      swap(22, 32, 10);
      frame.set(mac, 22);
      frame[21] = 2;
    } else if (view.getUint16(12) === 0x0800 && frame[23] === 1 && frame[34] === 8) {
      swap(26, 30, 4);
      frame[34] = 0;
      const sum = view.getUint16(36) + 0x0800;
      view.setUint16(36, (sum & 0xffff) + (sum >> 16));
    } else continue;
    frame.copyWithin(0, 6, 12);
    frame.set(mac, 6);
    host.write(fd, frame.subarray(0, length));
  }`);
chmodSync(dirname(machine), 0o755);

// /dev/net/tun itself is root's on many a machine
const opening = 'exec 9<>/dev/net/tun; exec "$@"';
const IFF_TAP_NO_PI = 0x1002;
const MULTI_QUEUE = 0x100;

/** Starts `machine` in a pod, as another user where one is given; what attaching to the device came to, 0 or an errno. */
async function start(
  pod: Namespace,
  { flags = IFF_TAP_NO_PI, as = [] as string[] } = {},
): Promise<{ said: unknown; stop(): Promise<void> }> {
  const child = execa("nsenter", [`--net=${pod.path}`, "--", "sh", "-c", opening, "sh", ...as, machine, `${flags}`], {
    reject: false,
  });
  const said = await new Promise<string>((resolve, reject) => {
    child.stdout!.once("data", (data) => resolve(String(data)));
    child.once("close", () => reject(new Error("it ended and said nothing")));
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child;
  };
  return { said: JSON.parse(said) as unknown, stop };
}

const isMapped = readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/)[2] !== "1";

describe("tap", () => {
  test("makes a device a program opens, with addresses of both families, and stays when the program ends", async () => {
    const node = await Node.create();
    const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
    const attached = await attach(node, tap(node, { ipam: dualStack(node, { routes }) }));
    const { pod, mac, result } = attached;
    expect(result.interfaces).toEqual([{ name: "eth0", mac, sandbox: pod.path }]);
    expect(result.ips).toEqual([
      { address: "10.9.0.2/24", gateway: "10.9.0.1", interface: 0 },
      { address: "fd00:9::2/64", gateway: "fd00:9::1", interface: 0 },
    ]);
    expect(await linkOf(attached)).toMatchObject({ address: mac, mtu: 1500, linkinfo: { info_kind: "tun" } });
    expect(await pod.addresses("eth0")).toEqual(["10.9.0.2/24", "fd00:9::2/64"]);
    for (const family of [4, 6] as const) {
      expect(await pod.routes(family)).toContainEqual(expect.objectContaining({ dst: "default", dev: "eth0" }));
    }
    expect(await pod.ping("10.9.0.7", { timeoutS: 1 })).toBe(false);
    for (let times = 0; times < 2; times++) {
      const { said, stop } = await start(pod);
      expect(said).toBe(0);
      expect(await pod.ping("10.9.0.7")).toBe(true);
      expect(await pod.ping("8.8.8.8")).toBe(true);
      await stop();
      expect(await complaint(node, attached)).toBe("");
    }
    await node.succeed("DEL", attached.call);
    expect(await namesIn(attached.call)).toEqual(["lo"]);
  });

  test("multiQueue: several programs at once; without it, one", async () => {
    const node = await Node.create();
    const many = await attach(node, tap(node, { multiQueue: true }));
    const one = await attach(node, tap(node));
    expect([await dataOf(many), await dataOf(one)]).toMatchObject([{ multi_queue: true }, { multi_queue: false }]);
    const flags = IFF_TAP_NO_PI | MULTI_QUEUE;
    const started = [await start(many.pod, { flags }), await start(many.pod, { flags })];
    expect(started.map(({ said }) => said)).toEqual([0, 0]);
    const other = [await start(one.pod), await start(one.pod)];
    expect(other.map(({ said }) => said)).toEqual([0, -16]);
    for (const { stop } of [...started, ...other]) await stop();
    expect([await complaint(node, many), await complaint(node, one)]).toEqual(["", ""]);
  });

  test.runIf(isMapped)(
    "owner and group: they may open it, others may not; mac and mtu count all the same",
    async () => {
      const node = await Node.create();
      const more = { owner: 4007, group: 4008, mac: "02:00:00:00:00:07", mtu: 1400 };
      const attached = await attach(node, tap(node, more));
      expect(await linkOf(attached)).toMatchObject({ address: more.mac, mtu: 1400 });
      expect(await dataOf(attached)).toMatchObject({ persist: true, pi: false });
      const as = (uid: number, gid: number): string[] => [
        "setpriv",
        `--reuid=${uid}`,
        `--regid=${gid}`,
        "--clear-groups",
        "--",
      ];
      for (const [uid, gid, outcome] of [
        [4007, 4008, 0],
        [4007, 4009, -1],
        [4006, 4008, -1],
      ] as const) {
        const { said, stop } = await start(attached.pod, { as: as(uid, gid) });
        expect([uid, gid, said]).toEqual([uid, gid, outcome]);
        await stop();
      }
      expect(await complaint(node, attached)).toBe("");
    },
  );

  test("the MAC: the configuration's, then CNI_ARGS', then the runtime's", async () => {
    const node = await Node.create();
    const mac = (n: number) => `02:00:00:00:00:0${n}`;
    const own = { mac: mac(1), owner: 0, group: 0 };
    expect((await attach(node, tap(node, own))).mac).toBe(mac(1));
    expect((await attach(node, tap(node, own), { args: `MAC=${mac(2)}` })).mac).toBe(mac(2));
    const all = tap(node, { ...own, runtimeConfig: { mac: mac(3) } });
    const attached = await attach(node, all, { args: `MAC=${mac(2)}` });
    expect([attached.mac, (await linkOf(attached)).address]).toEqual([mac(3), mac(3)]);
  });

  test("bridge: a port of the pod's bridge, by which frames come and go", async () => {
    const node = await Node.create();
    const pod = await node.pod({ up: true });
    await pod.ip("link add br7 up type bridge");
    await pod.ip("address add 10.8.0.1/24 dev br7");
    const attached = await attach(node, tap(node, { bridge: "br7", ipam: undefined }), { netns: pod });
    expect(attached.result).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: attached.mac, sandbox: pod.path }],
    });
    expect(await linkOf(attached)).toMatchObject({ master: "br7", flags: expect.arrayContaining(["UP"]) as unknown });
    const { stop } = await start(pod);
    expect(await pod.ping("10.8.0.9")).toBe(true);
    await stop();
    expect(await complaint(node, attached)).toBe("");
    await pod.ip("link set eth0 nomaster");
    expect(await complaint(node, attached)).toMatch(/eth0 in the container is not a port of its bridge br7/);
    await node.succeed("DEL", attached.call);
    expect(await namesIn(attached.call)).toEqual(["lo", "br7"]);
  });

  test("selinuxContext: ip makes it, with the label it was given; none where there is no SELinux", async () => {
    const node = await Node.create();
    const config = tap(node, { selinuxContext: "u:r:t:s0", multiQueue: true, owner: 0, mtu: 1400 });
    const call = await callFor(node, config);
    await refusal(node, call); // the first one of a network writes more
    const refused = await trace(node, "ADD", call);
    expect(JSON.parse(refused.stdout)).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/selinuxContext is "u:r:t:s0"/) as unknown,
    });
    expect([await namesIn(call), node.leases()]).toEqual([["lo"], {}]);
    // as on a kernel with SELinux: the label can be written, and after it that there is none any more
    const writes = refused.lines.filter((line) => line.startsWith("write("));
    const at = writes.findIndex((line) => line.includes("u:r:t:s0")) + 1;
    const succeeds = `-qq -e trace=write -e inject=write:retval=8:when=${at}..${at + 1}`;
    const folder = programs({ tap: `exec strace -o "$0.log" ${succeeds} ${podwireFolder()}/tap` });
    const answer = await node.run(`${folder}/tap`, [], {
      env: environment(podwireFolder(), "ADD", call),
      input: JSON.stringify(config),
    });
    expect(answer).toMatchObject({ stdout: expect.stringContaining("eth0") as unknown, exitCode: 0 });
    const log = readFileSync(`${folder}/tap.log`, "utf8").replaceAll(/ +/g, " ");
    const written = log.match(/"\S*", \d+\) += 8 \(INJECTED\)/g);
    expect(written).toEqual(['"u:r:t:s0", 8) = 8 (INJECTED)', '"\\n", 1) = 8 (INJECTED)']);
    const made = { pod: call.netns as Namespace };
    expect(await linkOf(made)).toMatchObject({ mtu: 1400, linkinfo: { info_data: { multi_queue: true } } });
    await node.succeed("DEL", call);
    expect([await namesIn(call), node.leases()]).toEqual([["lo"], {}]);
  });
});

describe("a wrong configuration of tap is refused, naming the key, and nothing is changed", () => {
  test.each<[string, object, RegExp]>([
    ["mtu", { mtu: 65522 }, /mtu is 65522, must be a whole number from 0 to 65521/],
    ["mtu below any", { mtu: 60 }, /mtu is 60, must be from 68/],
    ["mac", { mac: "01:00:00:00:00:01" }, /mac is "01:00:00:00:00:01"/],
    ["runtimeConfig.mac", { runtimeConfig: { mac: "zz" } }, /runtimeConfig\.mac is "zz"/],
    ["multiQueue", { multiQueue: 1 }, /multiQueue is 1, must be true or false/],
    ["args", { args: "x" }, /args is "x", must be an object/],
    ["owner", { owner: -1 }, /owner is -1, must be a whole number from 0/],
    ["group", { group: "root" }, /group is "root", must be a whole number from 0/],
    ["selinuxContext", { selinuxContext: 1 }, /selinuxContext is 1, must be an SELinux context/],
    ["bridge", { bridge: "no such" }, /bridge is "no such", must be a link name/],
    ["a bridge that is not there", { bridge: "br7" }, /bridge: link "br7" does not exist/],
    ["a bridge that is none", { bridge: "lo" }, /bridge: link "lo" in the container is not a bridge/],
  ])("%s", async (_what, more, message) => {
    const node = await Node.create();
    const before = await node.snapshot();
    const call = await callFor(node, tap(node, more));
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringMatching(message) as unknown });
    expect(await node.snapshot()).toEqual(before);
    expect(await namesIn(call)).toEqual(["lo"]);
    await node.succeed("DEL", call);
  });

  test("MAC of CNI_ARGS", async () => {
    const node = await Node.create();
    const call = await callFor(node, tap(node), { args: "MAC=zz" });
    expect(await refusal(node, call)).toMatchObject({ code: 4, msg: expect.stringContaining("zz") as unknown });
  });
});

describe("a failed ADD of tap leaves nothing", () => {
  test("where a gateway is out of reach", async () => {
    const node = await Node.create();
    const ipam = hostLocal(node, { subnet: "10.9.0.0/24", routes: [{ dst: "10.77.0.0/16", gw: "10.88.0.1" }] });
    const call = await callFor(node, tap(node, { ipam }));
    expect(await refusal(node, call)).toMatchObject({ code: 7, msg: expect.stringContaining("gateway") as unknown });
    expect([await namesIn(call), node.leases()]).toEqual([["lo"], {}]);
  });

  test.each(["type veth peer name other", "tap"])("where the name is another link's, which stays: %s", async (type) => {
    const node = await Node.create();
    const pod = await node.pod();
    await pod.ip(type === "tap" ? "tuntap add mode tap name eth0" : `link add eth0 ${type}`);
    const before = (await pod.link("eth0"))!.address;
    const call = await callFor(node, tap(node), { netns: pod });
    expect(await refusal(node, call)).toMatchObject({
      code: 4,
      msg: expect.stringContaining("already exists") as unknown,
    });
    expect((await pod.link("eth0"))!.address).toBe(before);
    expect(node.leases()).toEqual({});
  });

  test("a second ADD of the same interface is refused, and the first one lives", async () => {
    const node = await Node.create();
    for (const config of [tap(node), tap(node, { ipam: undefined })]) {
      const attached = await attach(node, config);
      expect([4, 7]).toContain((await refusal(node, attached.call)).code);
      expect(await complaint(node, attached)).toBe("");
    }
  });
});

describe("DEL, GC, STATUS and CHECK of tap", () => {
  const without: [string, object][] = [
    ["prevResult", {}],
    ["namespace", { netns: "" }],
    ["a namespace that is there", { netns: "/run/netns/no-such" }],
  ];
  test.each(without)("DEL works without %s, twice", async (_what, more) => {
    const node = await Node.create();
    const attached = await attach(node, tap(node));
    const { stop } = await start(attached.pod); // a program that has it open does not keep it
    for (let times = 0; times < 2; times++) await node.succeed("DEL", { ...attached.call, ...more });
    await stop();
    expect([await namesIn(attached.call), node.leases()]).toEqual([["lo"], {}]);
  });

  test("GC removes the devices of attachments that are not valid, and no other; STATUS asks IPAM", async () => {
    const node = await Node.create();
    const [gone, kept] = [await attach(node, tap(node)), await attach(node, tap(node))];
    const valid = [{ containerID: kept.call.containerId, ifname: "eth0" }];
    await node.succeed("GC", { plugin: "tap", config: tap(node, { "cni.dev/valid-attachments": valid }) });
    expect([await namesIn(gone.call), await namesIn(kept.call)]).toEqual([["lo"], ["lo", "eth0"]]);
    expect(Object.keys(node.leases())).toHaveLength(1);
    await node.succeed("STATUS", { plugin: "tap", config: tap(node) });
    const broken = tap(node, { ipam: hostLocal(node, { subnet: "10.9.0.0/24", dataDir: "/dev/null/x" }) });
    expect(failure(await node.podwire("STATUS", { plugin: "tap", config: broken }))).toMatchObject({ code: 50 });
  });

  test.each<[string, string, RegExp]>([
    ["the link", "link delete eth0", /link eth0 does not exist in the container/],
    ["its MAC", "link set eth0 address 02:00:00:00:00:77", /MAC 02:00:00:00:00:77/],
    ["its MTU", "link set eth0 mtu 1300", /MTU 1300, not 1400/],
    ["its state", "link set eth0 down", /is down/],
    ["an address", "address flush dev eth0", /address 10\.9\.0\.2\/24 is missing/],
  ])("CHECK names %s that is not as ADD made it", async (_what, line, message) => {
    const node = await Node.create();
    const attached = await attach(node, tap(node, { mtu: 1400 }));
    expect(await complaint(node, attached)).toBe("");
    await attached.pod.ip(line);
    expect(await complaint(node, attached)).toMatch(message);
  });

  test("CHECK names an MTU that is not the kernel's where none was asked for, and not one that tuning set", async () => {
    const node = await Node.create();
    const attached = await attach(node, tap(node));
    const tuning = { type: "tuning", mtu: 1400, dataDir: join(node.dataDir, "tuning") };
    const config = { cniVersion: "1.1.0", name: "net", ...tuning, prevResult: attached.result };
    const { result } = await node.succeed("ADD", { ...attached.call, plugin: "tuning", config });
    expect(await complaint(node, { ...attached, result: result! })).toBe("");
    expect(await complaint(node, attached)).toMatch(/eth0 in the container has MTU 1400, not 1500/);
  });

  test("CHECK names queues, owner and kind that are not as configured", async () => {
    const node = await Node.create();
    const attached = await attach(node, tap(node));
    const asked = (more: object): Attached => ({ ...attached, call: { ...attached.call, config: tap(node, more) } });
    expect(await complaint(node, asked({ multiQueue: true }))).toMatch(/multiQueue of link eth0 .* is false, not true/);
    expect(await complaint(node, asked({ owner: 0 }))).toMatch(
      /owner of link eth0 in the container is undefined, not 0/,
    );
    await attached.pod.ip("link delete eth0");
    await attached.pod.ip("tuntap add mode tun name eth0");
    expect(await complaint(node, attached)).toMatch(/mode of link eth0 in the container is undefined, not tap/);
  });

  test.runIf(reference.newest).each<[string, object]>([
    ["one made by ip", { mtu: 1400, multiQueue: true }],
    ["one made by ioctl", { mtu: 1400, owner: 0, group: 0 }],
  ])("the reference's and podwire's are one: %s", async (_what, more) => {
    const node = await Node.create();
    const wanted = tap(node, more);
    const call = await callFor(node, wanted);
    const theirs = await node.reference("ADD", call);
    expect(theirs).toMatchObject({ exitCode: 0 });
    expect((await node.podwire("CHECK", { ...call, config: { ...wanted, prevResult: theirs.result } })).stdout).toBe(
      "",
    );
    await node.succeed("DEL", call);
    expect([await namesIn(call), node.leases()]).toEqual([["lo"], {}]);
    const ours = await node.succeed("ADD", call);
    expect((await node.reference("CHECK", { ...call, config: { ...wanted, prevResult: ours.result } })).stdout).toBe(
      "",
    );
    expect(await node.reference("DEL", call)).toMatchObject({ exitCode: 0 });
    expect(await namesIn(call)).toEqual(["lo"]);
  });
});
