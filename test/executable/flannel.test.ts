import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import {
  attach,
  type Attached,
  complaint,
  type Config,
  failure,
  flannel,
  hostLocal,
  programs,
  refusal,
  SUBNET_ENV,
} from "./configs.ts";
import { type Answer, Node } from "./harness.ts";

// flannel's plugin: what it tells its delegate, what it keeps, and what is left when pods go.

let node: Node;
beforeEach(async () => {
  node = await Node.create();
});

const kept = (): string[] => {
  const folder = join(node.dataDir, "flannel");
  return existsSync(folder) ? readdirSync(folder).sort() : [];
};
const told = (name: string): unknown => JSON.parse(readFileSync(join(node.dataDir, "flannel", name), "utf8"));
const call = (config: Config, more: object = {}) => ({ plugin: "flannel", config, containerId: "pod-1", ...more });
const remove = async ({ call: made, result }: Attached, more: object = {}): Promise<Answer> =>
  node.succeed("DEL", { ...made, config: { ...made.config, prevResult: result }, ...more });
const leases = (): string[] => Object.keys(node.leases());
const veths = async (): Promise<string[]> =>
  (await node.links()).filter(({ linkinfo }) => linkinfo?.info_kind === "veth").map(({ ifname }) => ifname);

/** A delegate that notes what it is told, and fails where a file says so. */
const noting = (): string =>
  programs({
    note: `cat > "$0.$CNI_COMMAND"
if [ -e "$0.fails-$CNI_COMMAND" ]; then echo '{"cniVersion":"1.1.0","code":77,"msg":"not now"}'; exit 1; fi
[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion":"1.0.0","interfaces":[{"name":"x0"}],"ips":[],"dns":{}}'`,
  });

describe("what flannel tells its delegate", () => {
  const NOTE = { delegate: { type: "note", Type: "kept", dns: { domain: "x" } } };
  const tell = async (keys: object, env: string): Promise<Record<string, unknown>> => {
    const path = noting();
    writeFileSync(join(node.dataDir, "subnet.env"), env);
    const { result } = await node.succeed(
      "ADD",
      call(flannel(node, { ...NOTE, ...keys }), { netns: await node.pod(), path }),
    );
    expect(result).toEqual({ cniVersion: "1.1.0", interfaces: [{ name: "x0" }] });
    return JSON.parse(readFileSync(join(path, "note.ADD"), "utf8")) as Record<string, unknown>;
  };

  test("the node's subnets, MTU and masquerading, and its own keys first", async () => {
    expect(await tell({ runtimeConfig: { mac: "02:00:00:00:00:01" } }, SUBNET_ENV)).toEqual({
      Type: "kept",
      cniVersion: "1.1.0",
      dns: { domain: "x" },
      ipMasq: true,
      ipam: {
        dataDir: node.dataDir,
        ranges: [[{ subnet: "10.42.3.0/24" }], [{ subnet: "fd42:0:0:3::/64" }]],
        routes: [{ dst: "10.42.0.0/16" }, { dst: "fd42::/56" }],
        type: "host-local",
      },
      mtu: 1450,
      name: "net",
      runtimeConfig: { mac: "02:00:00:00:00:01" },
      type: "note",
    });
    expect(kept()).toEqual(["pod-1", "pod-1:eth0:net"]);
    expect(told("pod-1")).toEqual(told("pod-1:eth0:net"));
  });

  test("what it says itself is not replaced, but ranges are, and routes come first", async () => {
    const ipam = {
      type: "other",
      ranges: "gone",
      routes: [{ dst: "1.2.3.4/8", gw: "10.42.3.9", mtu: 1400, junk: 1 }],
      x: [1e21],
    };
    const env =
      "FLANNEL_NETWORK=10.42.0.0/16,10.43.0.1/16,10.42.0.0/16\r\nFLANNEL_SUBNET=10.0.0.0/8\nFLANNEL_SUBNET=10.42.9.7/24\nexport FLANNEL_MTU=1\nX\nFLANNEL_MTU=0\nFLANNEL_IPMASQ=true\n";
    expect(await tell({ delegate: { ...NOTE.delegate, mtu: null, ipMasq: 1 }, ipam }, env)).toMatchObject({
      mtu: null,
      ipMasq: 1,
      ipam: {
        type: "other",
        x: [1e21],
        ranges: [[{ subnet: "10.42.9.0/24" }]],
        routes: [{ dst: "1.2.3.4/8", gw: "10.42.3.9", mtu: 1400 }, { dst: "10.42.0.0/16" }, { dst: "10.43.0.0/16" }],
      },
    });
  });
});

describe("flannel refuses", () => {
  const replaced = (name: string, line: string): string => SUBNET_ENV.replace(new RegExp(`^${name}=.*$`, "m"), line);

  test.each<[string, number, RegExp | string]>([
    [replaced("FLANNEL_MTU", "FLANNEL_MTU=-1"), 7, 'FLANNEL_MTU is "-1", must be a whole number'],
    [replaced("FLANNEL_MTU", "FLANNEL_MTU"), 7, "FLANNEL_MTU has no value"],
    [replaced("FLANNEL_SUBNET", 'FLANNEL_SUBNET="10.42.3.1/24"'), 7, "FLANNEL_SUBNET is "],
    [replaced("FLANNEL_NETWORK", "FLANNEL_NETWORK="), 7, 'FLANNEL_NETWORK is "", must be IPv4 with a prefix length'],
    [replaced("FLANNEL_IPV6_SUBNET", "FLANNEL_IPV6_SUBNET=10.0.0.0/8"), 7, "FLANNEL_IPV6_SUBNET is "],
    [
      "",
      11,
      "is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ",
    ],
    [replaced("FLANNEL_IPMASQ", "#"), 11, "is missing FLANNEL_IPMASQ"],
  ])("a subnet.env of %j", async (env, code, words) => {
    const config = flannel(node);
    writeFileSync(join(node.dataDir, "subnet.env"), env);
    const error = await refusal(node, call(config, { netns: await node.pod() }));
    expect(error.code).toBe(code);
    expect(error.msg).toContain(words);
    expect(error.msg).toMatch(
      /^failed to load flannel 'subnet.env' file: .*\. Check the flannel pod log for this node\.$/,
    );
    expect([kept(), await veths()]).toEqual([[], []]);
  });

  test("to work before flanneld has written its file, which STATUS says too", async () => {
    const config = flannel(node, { subnetFile: "/nowhere/subnet.env" });
    const msg = expect.stringContaining("/nowhere/subnet.env") as unknown;
    expect(await refusal(node, call(config, { netns: await node.pod() }))).toMatchObject({ code: 11, msg });
    expect(failure(await node.podwire("STATUS", { plugin: "flannel", config }))).toMatchObject({ code: 50, msg });
    await node.succeed("STATUS", { plugin: "flannel", config: flannel(node) });
  });

  test.each([
    [{ delegate: { type: 7 } }, "delegate is "],
    [{ delegate: { name: "x" } }, "delegate is "],
    [{ delegate: { ipam: {} } }, "must be an object without name and ipam"],
    [{ delegate: { type: "flannel" } }, 'delegate.type is "flannel", must be the plugin that wires the pod'],
    [{ ipam: { routes: [{ dst: "x" }] } }, 'ipam.routes[0].dst is "x"'],
    [{ subnetFile: 7, dataDir: "" }, 'subnetFile is 7, must be a path; dataDir is "", must be a path'],
    [{ delegate: { type: "nowhere" } }, "the executable that delegate.type names is not in CNI_PATH"],
  ])("the key that is wrong in %j", async (keys, words) => {
    const config = flannel(node, keys);
    const error = await refusal(node, call(config, { netns: await node.pod() }));
    expect([error.code, error.msg]).toEqual([7, expect.stringContaining(words)]);
    expect(kept()).toEqual([]);
    await node.succeed("DEL", call(config));
  });
});

test("podwire's own plugins are run in the same process, and need no CNI_PATH", async () => {
  const pod = await attach(node, flannel(node), { path: "/nowhere" });
  expect(await complaint(node, pod, { path: "/nowhere" })).toBe("");
  expect(await node.ping(pod.ip4)).toBe(true);
  await node.ip(`link set ${pod.hostVeth} nomaster`);
  expect(await complaint(node, pod, { path: "/nowhere" })).toContain("br0");
  await remove(pod, { path: "/nowhere" });
  expect([kept(), leases(), await veths()]).toEqual([[], [], []]);
});

describe("a pod of flannel goes", () => {
  test.each<[string, object, () => void]>([
    ["without namespace and earlier result", { netns: "" }, () => undefined],
    ["without subnet.env", {}, () => rmSync(join(node.dataDir, "subnet.env"))],
    ["without what was kept", {}, () => rmSync(join(node.dataDir, "flannel"), { recursive: true })],
  ])("%s, and again", async (_how, more, spoil) => {
    const neighbour = await attach(node, flannel(node));
    const before = await node.snapshot();
    const pod = await attach(node, flannel(node));
    spoil();
    for (let times = 0; times < 2; times++) {
      await node.succeed("DEL", { ...pod.call, ...more });
      expect(await node.snapshot()).toEqual(before);
    }
    expect(await node.ping(neighbour.ip4)).toBe(true);
  });

  test("only when its delegate's DEL has succeeded is it forgotten", async () => {
    const path = noting();
    const config = flannel(node, { delegate: { type: "note" } });
    const made = call(config, { netns: await node.pod(), path });
    await node.succeed("ADD", made);
    writeFileSync(join(path, "note.fails-DEL"), "");
    for (let times = 0; times < 2; times++) {
      expect(failure(await node.podwire("DEL", made))).toMatchObject({ code: 77, msg: "not now" });
      expect(kept()).toEqual(["pod-1", "pod-1:eth0:net"]);
    }
    rmSync(join(path, "note.fails-DEL"));
    await node.succeed("DEL", { ...made, config: { ...config, delegate: { type: "other" } } });
    expect(kept()).toEqual([]);
    await node.succeed("DEL", made);
  });

  test("an ADD that its delegate refuses leaves nothing, and DEL of the delegate is run", async () => {
    const path = noting();
    writeFileSync(join(path, "note.fails-ADD"), "");
    const made = call(flannel(node, { delegate: { type: "note" } }), { netns: await node.pod(), path });
    expect(await refusal(node, made)).toMatchObject({ code: 77, msg: "not now" });
    expect([kept(), existsSync(join(path, "note.DEL"))]).toEqual([[], true]);
  });

  test("by itself, of two interfaces and two networks of one container", async () => {
    const one = flannel(node);
    const other = join(node.dataDir, "other.env");
    writeFileSync(other, SUBNET_ENV.replaceAll("10.42.3", "10.42.4").replaceAll(":3::", ":4::"));
    const two = flannel(node, {
      name: "two",
      delegate: { bridge: "br2" },
      ipam: hostLocal(node, {}),
      subnetFile: other,
    });
    const netns = await node.pod();
    const first = await attach(node, one, { containerId: "pod", netns });
    const second = await attach(node, one, { containerId: "pod", netns, ifname: "eth1" });
    const third = await attach(node, two, { containerId: "pod", netns, ifname: "eth2" });
    expect(kept()).toEqual(["pod", "pod:eth0:net", "pod:eth1:net", "pod:eth2:two"]);
    for (const [pod, left] of [
      [first, 2],
      [third, 1],
      [second, 0],
    ] as const) {
      await remove(pod);
      expect((await veths()).length).toBe(left);
      expect(leases().length).toBe(2 * left);
    }
    expect(kept()).toEqual([]);
  });

  test("a duplicate ADD is refused, and harms nothing", async () => {
    const pod = await attach(node, flannel(node));
    const before = [kept(), leases(), await veths()];
    expect((await node.podwire("ADD", pod.call)).exitCode).toBe(1);
    expect([kept(), leases(), await veths()]).toEqual(before);
    expect(await complaint(node, pod)).toBe("");
    await remove(pod);
    expect([kept(), leases(), await veths()]).toEqual([[], [], []]);
  });

  test("by GC, where it is not valid any more", async () => {
    const pod = await attach(node, flannel(node), { containerId: "stays" });
    const before = [kept(), leases(), await veths()];
    await attach(node, flannel(node), { containerId: "goes" });
    const valid = [{ containerID: "stays", ifname: "eth0" }];
    await node.succeed("GC", { plugin: "flannel", config: { ...flannel(node), "cni.dev/valid-attachments": valid } });
    expect([kept(), leases(), await veths()]).toEqual(before);
    expect(await complaint(node, pod)).toBe("");
  });
});

test("GC of a network whose name is long forgets what is not valid", async () => {
  const named = flannel(node, { name: "n".repeat(220) });
  await attach(node, named, { containerId: "stays" });
  const before = [kept(), leases()];
  await attach(node, named, { containerId: "goes" });
  const valid = [{ containerID: "stays", ifname: "eth0" }];
  await node.succeed("GC", { plugin: "flannel", config: { ...named, "cni.dev/valid-attachments": valid } });
  expect([kept(), leases()]).toEqual(before);
});

test("what is kept is for root alone", async () => {
  await attach(node, flannel(node), { containerId: "pod" });
  mkdirSync(join(node.dataDir, "x"));
  const modes = execFileSync("stat", ["-c", "%a", join(node.dataDir, "flannel"), join(node.dataDir, "flannel/pod")], {
    encoding: "utf8",
  });
  expect(modes).toBe("700\n600\n");
});
