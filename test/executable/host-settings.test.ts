import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import {
  attach,
  bridge,
  callFor,
  complaint,
  type Config,
  dualStack,
  hostLocal,
  ptp,
  refusal,
  v4,
  v6,
} from "./configs.ts";
import { environment } from "../harness/invoke.ts";
import { type Call, type CniResult, type Namespace, Node, podwireFolder, type Verb } from "./harness.ts";
import { reach, tcp } from "./ports.ts";

// What ADD changes of the node besides the pod's own: settings a pod could abuse, or an administrator relies on.

describe("router advertisements of a pod", () => {
  test("are taken by no link of the host, also not by a bridge or VLAN interface that was there", async () => {
    const node = await Node.create();
    await node.ip("link add name br0 type bridge");
    for (const name of ["br0", "all", "default"]) await node.setSysctl(`net/ipv6/conf/${name}/accept_ra`, 1);
    const { hostVeth } = await attach(node, bridge(node, { isGateway: true, ipam: dualStack(node) }));
    const { hostVeth: other } = await attach(
      node,
      ptp(node, { name: "routed", ipam: hostLocal(node, { subnet: "10.8.0.0/24" }) }),
    );
    const read = async (name: string): Promise<string> => node.sysctl(`net/ipv6/conf/${name}/accept_ra`);
    expect(await Promise.all(["br0", hostVeth, other].map(read))).toEqual(["0", "0", "0"]);
  });
});

describe("the node's own default route by router advertisements", () => {
  test.each<[string, (node: Node) => Config]>([
    ["bridge with isGateway", (node) => bridge(node, { isGateway: true, ipam: hostLocal(node, v6) })],
    ["ptp", (node) => ptp(node, { ipam: hostLocal(node, v6) })],
    ["ptp, link-local", (node) => ptp(node, { gatewayMode: "link-local", ipam: hostLocal(node, v6) })],
  ])(
    "is kept when %s switches forwarding on: accept_ra of that uplink becomes 2, and that is said",
    async (_what, config) => {
      const node = await Node.create();
      await node.outside();
      await node.ip("link add name quiet type veth peer name far");
      for (const name of ["uplink", "quiet"]) await node.setSysctl(`net/ipv6/conf/${name}/accept_ra`, 1);
      await node.ip("-6 route add default via 2001:db8::2 dev uplink proto ra metric 1024 expires 1800");
      const call = await callFor(node, config(node));
      const { stderr } = await node.succeed("ADD", call);
      expect(stderr).toContain("accept_ra of uplink is 2");
      const read = async (name: string): Promise<string> => node.sysctl(`net/ipv6/conf/${name}`);
      expect(await read("all/forwarding")).toBe("1");
      expect([await read("uplink/accept_ra"), await read("quiet/accept_ra")]).toEqual(["2", "1"]);
      const { stderr: second } = await node.succeed("ADD", await callFor(node, config(node)));
      expect(second).toBe("");
    },
  );
});

test("the node's own address by router advertisements is kept too, where no router gave it a default route", async () => {
  const node = await Node.create();
  await node.setSysctl("net/ipv6/conf/default/accept_dad", 0);
  const outside = await node.outside();
  await node.setSysctl("net/ipv6/conf/uplink/accept_ra", 1);
  // RFC 4861: hop limit 64, router lifetime 0; a prefix of 64 bits, on-link and autonomous, valid for ten minutes
  const advertise = `import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0) + struct.pack("!BBBBIII", 3, 4, 64, 0xc0, 600, 500, 0)
s.sendto(message + socket.inet_pton(socket.AF_INET6, "2001:db8:5::"), ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))`;
  await vi.waitFor(
    async () => {
      await outside.must("python3", "-c", advertise);
      expect((await node.addresses("uplink")).join(" ")).toContain("2001:db8:5:");
    },
    { timeout: 60_000 },
  );
  const { stderr } = await node.succeed(
    "ADD",
    await callFor(node, bridge(node, { isGateway: true, ipam: hostLocal(node, v6) })),
  );
  expect(stderr).toContain("accept_ra of uplink is 2");
  expect(await node.sysctl("net/ipv6/conf/uplink/accept_ra")).toBe("2");
});

describe("a bridge without a MAC", () => {
  test("gets one: it was the reference's, and its last port is gone", async () => {
    const node = await Node.create();
    const config = bridge(node, { isGateway: false });
    const call = await callFor(node, config);
    await node.reference("ADD", call);
    await node.reference("DEL", call);
    const attached = await attach(node, bridge(node, { isGateway: true }));
    const { address } = (await node.link("br0"))!;
    expect(address).not.toBe("00:00:00:00:00:00");
    expect([await complaint(node, attached), await node.ping(attached.ip4)]).toEqual(["", true]);
    await attach(node, config);
    expect((await node.link("br0"))!.address).toBe(address);
  });
});

describe("gateways of a bridge", () => {
  test("two range sets of one family: both are put on a bridge that is not there yet, and on it again", async () => {
    const node = await Node.create();
    const ranges = [[v4], [{ subnet: "10.10.0.0/24" }]];
    const config = bridge(node, { isDefaultGateway: true, ipam: hostLocal(node, { ranges }) });
    const attached = await attach(node, config);
    await attach(node, config);
    expect((await node.addresses("br0")).toSorted()).toEqual(["10.10.0.1/24", "10.9.0.1/24"]);
    expect(await complaint(node, attached)).toBe("");
    const stranger = await refusal(
      node,
      await callFor(
        node,
        bridge(node, { name: "b", isGateway: true, ipam: hostLocal(node, { subnet: "10.11.0.0/24" }) }),
      ),
    );
    expect(stranger.msg).toMatch(/already has an IP address different from 10\.11\.0\.1\/24/);
  });

  test.each([false, true])(
    "two ranges in one set: none is in the way of the other's pods (forceAddress: %s)",
    async (forceAddress) => {
      const node = await Node.create();
      const ranges = [[{ subnet: "10.9.0.0/30" }, { subnet: "10.10.0.0/30" }]];
      const config = bridge(node, { isDefaultGateway: true, forceAddress, ipam: hostLocal(node, { ranges }) });
      const pods = [await attach(node, config), await attach(node, config)];
      expect(pods.map(({ ip4 }) => ip4)).toEqual(["10.9.0.2", "10.10.0.2"]);
      expect((await node.addresses("br0")).toSorted()).toEqual(["10.10.0.1/30", "10.9.0.1/30"]);
      for (const pod of pods) expect([await complaint(node, pod), await node.ping(pod.ip4)]).toEqual(["", true]);
      expect(await pods[0]!.pod.ping("10.10.0.2")).toBe(true);
    },
  );

  test.each([false, true])(
    "may be a link-local one, beside the bridge's own (forceAddress: %s)",
    async (forceAddress) => {
      const node = await Node.create();
      await node.setSysctl("net/ipv6/conf/default/accept_dad", 0);
      await node.outside();
      const ipam = hostLocal(node, { ...v6, gateway: "fe80::1" });
      const config = bridge(node, { isDefaultGateway: true, ipMasq: true, forceAddress, ipam });
      const attached = await attach(node, config);
      await attach(node, config);
      await node.ip("route add fd00:9::/64 dev br0"); // which no address of the bridge brings
      const own = (await node.addresses("br0", { linkLocal: true })).filter((address) => address !== "fe80::1/64");
      expect(own).toEqual([expect.stringMatching(/^fe80::.*\/64$/)]);
      expect([await complaint(node, attached), await attached.pod.ping("2001:db8::2")]).toEqual(["", true]);
    },
  );

  test("forceAddress replaces a primary address with its secondaries, says so, and a failed ADD puts them back", async () => {
    const node = await Node.create();
    await node.ip("link add name br0 type bridge");
    for (const line of ["link set br0 up", "address add 10.20.0.1/24 dev br0", "address add 10.20.0.2/24 dev br0"]) {
      await node.ip(line);
    }
    await node.setSysctl("net/ipv4/conf/br0/promote_secondaries", 0);
    const before = await node.addresses("br0");
    const config = bridge(node, { isGateway: true, forceAddress: true });
    const routes = [{ dst: "10.77.0.0/16", gw: "172.16.0.1" }];
    const wrong = { ...config, ipam: hostLocal(node, { ...v4, routes }), ipMasq: true };
    const taken = await node.pod();
    const full = await callFor(node, wrong, { netns: taken });
    expect((await node.podwire("ADD", full)).exitCode).toBe(1);
    expect((await node.addresses("br0")).filter((each) => before.includes(each)).toSorted()).toEqual(before.toSorted());
    const { stderr } = await node.succeed("ADD", await callFor(node, config));
    expect(stderr).toMatch(/10\.20\.0\.1\/24 is taken from br0/);
    expect(await node.addresses("br0")).toEqual(["10.9.0.1/24"]);
  });
});

describe("sysctls that may not be written", () => {
  /** Runs a verb where /proc/sys is read-only, as on a rootless or nested node. */
  async function callReadOnly(
    node: Node,
    verb: Verb,
    call: Call,
    succeeds = true,
  ): Promise<{ stdout: string; stderr: string }> {
    const script = 'mount -o bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"';
    const run = { env: environment(podwireFolder(), verb, call), input: JSON.stringify(call.config) };
    const args = ["--mount", "sh", "-c", script, "sh", join(podwireFolder(), call.plugin)];
    const { exitCode, stdout, stderr } = await node.run("unshare", args, run);
    expect([exitCode, stdout]).toEqual([succeeds ? 0 : 1, stdout]);
    return { stdout, stderr };
  }

  test("are named where a pod needs them, and nothing is left", async () => {
    const node = await Node.create();
    const before = await node.snapshot();
    const { stdout } = await callReadOnly(node, "ADD", await callFor(node, ptp(node)), false);
    expect(JSON.parse(stdout)).toMatchObject({
      code: 5,
      msg: "sysctl net.ipv4.ip_forward must be 1, and podwire may not write it",
      details: expect.stringContaining("EROFS") as unknown,
    });
    expect(await node.snapshot()).toEqual(before);
  });

  test.each(["nftables", "iptables"])(
    "are no failure where a pod can do without, host ports by %s included",
    async (backend) => {
      const node = await Node.create();
      await node.setSysctl("net/ipv4/ip_forward", 1);
      const ports = { capabilities: { portMappings: true }, runtimeConfig: { portMappings: [tcp(8080, 80)] }, backend };
      const config = bridge(node, { isDefaultGateway: true, ...ports });
      const call = await callFor(node, config);
      const { stdout, stderr } = await callReadOnly(node, "ADD", call);
      expect(stderr).toMatch(/sysctl .*stays as it is/);
      expect(stderr).toMatch(/route_localnet stays as it is/);
      const prevResult = JSON.parse(stdout) as CniResult;
      const address = prevResult.ips![0]!.address.replace(/\/.*/, "");
      expect(await node.ping(address)).toBe(true);
      await (call.netns as Namespace).listen(80, { name: "web" });
      expect(await reach(node, "10.9.0.1", 8080)).toMatch(/^web saw /);
      await callReadOnly(node, "CHECK", { ...call, config: { ...config, prevResult } });
      await node.setSysctl("net/ipv4/conf/br0/route_localnet", 1);
      await callReadOnly(node, "DEL", call);
    },
  );
});
