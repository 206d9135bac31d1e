import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { attach, callFor, complaint, dataOf, dualStack, linkOf, namesIn, programs, refusal, tap } from "./configs.ts";
import { trace } from "../fault/strace.ts";
import { environment } from "../harness/invoke.ts";
import { type Namespace, Node, podwireFolder } from "./harness.ts";
import { start, IFF_TAP_NO_PI, MULTI_QUEUE } from "./tap-machine.ts";

// What is the same for tap as for macvlan (evidence of whose a link is, GC's namespaces) is tested in
// macvlan-verbs.test.ts.

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

  test("owner and group 2^32 - 1 are nobody's, as in the reference", async () => {
    const node = await Node.create();
    const attached = await attach(node, tap(node, { owner: 0xffff_ffff, group: 0xffff_ffff }));
    expect(await dataOf(attached)).not.toHaveProperty("user");
    expect(await complaint(node, attached)).toBe("");
    const tooMuch = await callFor(node, tap(node, { owner: 2 ** 32 }));
    expect((await refusal(node, tooMuch)).msg).toMatch(
      /owner is 4294967296, must be a whole number from 0 to 4294967295/,
    );
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
