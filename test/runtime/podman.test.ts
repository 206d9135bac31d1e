import { beforeAll, describe, expect, test } from "vitest";
import { available, Machine, Node, type NetworkList, type Outside } from "./harness.ts";
import { Podman } from "./podman.ts";

const serve = ["sh", "-c", "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp"];
const good = { exitCode: 0, stderr: "" };

describe.runIf(available("podman", ["podman", "conmon", "runc", "busybox", "tar"], { root: true }))(
  "podman run",
  () => {
    let node: Node;
    let outside: Outside;
    let machine: Machine;
    let podman: Podman;
    let list: NetworkList;
    beforeAll(async () => {
      node = await Node.create();
      outside = await node.outside();
      machine = await Machine.start(node);
      await machine.install();
      const ipam = {
        type: "host-local",
        dataDir: node.dataDir,
        ranges: [[{ subnet: "10.60.0.0/24" }], [{ subnet: "fd00:60::/64" }]],
      };
      const bridge = { type: "bridge", bridge: "cni0", isDefaultGateway: true, ipMasq: true, hairpinMode: true, ipam };
      list = {
        cniVersion: "1.0.0",
        name: "pods",
        plugins: [bridge, { type: "portmap", capabilities: { portMappings: true } }],
      };
      machine.network(list);
      podman = await Podman.create(machine);
    });
    /** wget in a namespace of the node's, as a container has one too; what it prints. */
    const get = async (
      from: { must(command: string, ...args: string[]): Promise<string> },
      url: string,
    ): Promise<string> => from.must("busybox", "wget", "-q", "-O", "-", url);

    test("knows the network, gives containers addresses, publishes a port, and leaves nothing", async () => {
      expect(await podman.must("network", "ls", "--format", "{{.Name}} {{.Driver}}")).toContain("pods bridge");
      expect(await podman.start("first", ["--network", "pods", "--publish", "8079:80"], "sleep", "1000")).toMatchObject(
        good,
      );
      const before = await node.snapshot();

      expect(await podman.start("server", ["--network", "pods", "--publish", "8080:80"], ...serve)).toMatchObject(good);
      const [address, address6] = (
        await podman.must(
          "inspect",
          "--format",
          "{{.NetworkSettings.Networks.pods.IPAddress}} {{.NetworkSettings.Networks.pods.GlobalIPv6Address}}",
          "server",
        )
      ).split(" ");
      const id = await podman.must("inspect", "--format", "{{.Id}}", "server");
      const leases = Object.entries(node.leases()).filter(([, text]) => text === `${id}\r\neth0`);
      expect(leases.map(([path]) => path)).toEqual([`pods/${address}`, `pods/${address6}`]);
      await expect
        .poll(async () =>
          podman.run("exec", "server", "wget", "-q", "-O", "-", "http://127.0.0.1/").then(({ stdout }) => stdout),
        )
        .toBe("hello");

      for (const from of [outside, node]) expect(await get(from, `http://${outside.node4}:8080/`)).toBe("hello\n");
      expect(await get(node, "http://127.0.0.1:8080/")).toBe("hello\n");
      expect(await podman.must("exec", "first", "wget", "-q", "-O", "-", `http://${address}/`)).toBe("hello");
      expect(await podman.must("exec", "first", "wget", "-q", "-O", "-", `http://${outside.node4}:8080/`)).toBe(
        "hello",
      );
      expect(await podman.must("exec", "first", "ping", "-c", "1", "-W", "20", address6!)).toContain(
        "1 packets received",
      );

      expect(await podman.run("rm", "--force", "--time", "0", "server")).toMatchObject(good);
      expect(await node.snapshot()).toEqual(before);
      expect(await podman.run("rm", "--force", "--time", "0", "first")).toMatchObject(good);
      expect(node.leases()).toEqual({});
      expect((await node.links()).map(({ ifname }) => ifname).sort()).toEqual(["cni0", "lo", "uplink"]);
    });

    test("restarts a container with a new attachment", async () => {
      expect(await podman.start("restarted", ["--network", "pods", "--publish", "8081:80"], ...serve)).toMatchObject(
        good,
      );
      expect(await podman.run("restart", "--time", "0", "restarted")).toMatchObject(good);
      expect(Object.keys(node.leases())).toHaveLength(2);
      await expect
        .poll(async () =>
          outside
            .run("busybox", ["wget", "-q", "-O", "-", `http://${outside.node4}:8081/`])
            .then(({ stdout }) => stdout),
        )
        .toBe("hello\n");
      expect(await podman.run("rm", "--force", "--time", "0", "restarted")).toMatchObject(good);
      expect(node.leases()).toEqual({});
    });
  },
);
