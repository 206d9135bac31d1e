import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { executable } from "../harness/paths.ts";
import { imageName } from "./image.ts";
import { Containerd, available, loadConf, Machine, Node, type NetworkList, type Outside } from "./harness.ts";

const programs = ["containerd", "ctr", "runc", "busybox", "tar"];

/** A file of conf/ with its leases in the node's own folder, in a version that Debian's containerd knows. */
function network(file: string, node: Node): NetworkList {
  const list = { ...loadConf(file), cniVersion: "1.0.0" };
  for (const plugin of list.plugins) if (plugin.ipam) Object.assign(plugin.ipam, { dataDir: node.dataDir });
  return list;
}

describe.runIf(available("containerd", programs, { root: true }))("ctr run --cni", () => {
  let node: Node;
  let outside: Outside;
  let machine: Machine;
  let containerd: Containerd;
  beforeAll(async () => {
    node = await Node.create();
    outside = await node.outside();
    machine = await Machine.start(node);
    await machine.install();
    containerd = await Containerd.start(machine);
  });

  test.each(["bridge.json", "bridge-dual-stack.json", "ptp.json", "ptp-dual-stack.json", "ptp-link-local.json"])(
    "%s: containers reach each other, and leave nothing",
    async (file) => {
      const list = network(file, node);
      machine.network(list);
      // what the first container of a network makes and leaves: the bridge, the nft table, forwarding
      expect(await containerd.container("first", "true")).toMatchObject({ exitCode: 0, stderr: "" });
      const before = await node.snapshot();

      const server = containerd.container(
        "server",
        "sh",
        "-c",
        "echo hello >/tmp/index.html; exec httpd -f -p 8080 -h /tmp",
      );
      const id = "default-server";
      const leases = async (): Promise<string[]> =>
        Object.entries(node.leases())
          .filter(([, text]) => text === `${id}\r\neth0`)
          .map(([path]) => path.split("/")[1]!);
      await expect.poll(leases).not.toEqual([]);
      const addresses = await leases();
      const families = list.plugins[0]?.ipam as { ranges: unknown[] };
      expect(addresses).toHaveLength(families.ranges.length);
      for (const address of addresses) {
        const url = `http://${address.includes(":") ? `[${address}]` : address}:8080/`;
        const client = await containerd.container(
          "client",
          "sh",
          "-c",
          `i=0; until wget -q -O - ${url} | grep -qx hello; do i=$((i + 1)); [ $i -lt 60 ] || exit 1; sleep 1; done`,
        );
        expect(client).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      }
      // by exit codes: what a container says that ends at once, ctr may lose
      const shown = await containerd.container("client", "sh", "-c", "ip -o address show eth0 | grep -q 'inet 10[.]'");
      expect(shown).toEqual({ exitCode: 0, stdout: "", stderr: "" });
      const ping = await containerd.container("client", "ping", "-c", "1", "-W", "20", outside.address4);
      expect(ping.exitCode).toBe(0);

      await containerd.must("task", "kill", "--signal", "SIGKILL", "server");
      await server;
      expect(await node.snapshot()).toEqual(before);
    },
  );

  test("works inside a container under containerd's default seccomp profile", async () => {
    const dataDir = join(machine.folder, "leases");
    const config = {
      cniVersion: "1.0.0",
      name: "net",
      type: "host-local",
      ipam: { type: "host-local", dataDir: "/leases", subnet: "10.77.0.0/24" },
    };
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, "config"), JSON.stringify(config));
    const mounts = [
      `type=bind,src=${dirname(executable)},dst=/bin/podwire,options=rbind:ro`,
      `type=bind,src=${dataDir},dst=/leases,options=rbind:rw`,
    ];
    const variables = "CNI_CONTAINERID=one CNI_NETNS=/nowhere CNI_IFNAME=eth0 CNI_PATH=/bin/podwire";
    const inside = async (verb: string) =>
      containerd.ctr([
        "run",
        "--rm",
        "--seccomp",
        "--snapshotter",
        "native",
        "--cgroup",
        `${machine.cgroup}/confined`,
        ...mounts.flatMap((mount) => ["--mount", mount]),
        imageName,
        "confined",
        "sh",
        "-c",
        `grep -q "Seccomp:.2" /proc/self/status || echo unconfined; ${variables} CNI_COMMAND=${verb} exec -a host-local /bin/podwire/podwire </leases/config`,
      ]);
    expect(await inside("VERSION")).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('"supportedVersions"') as unknown,
      stderr: "",
    });
    const { exitCode, stdout } = await inside("ADD");
    expect({ exitCode, result: JSON.parse(stdout) as object }).toMatchObject({
      exitCode: 0,
      result: { ips: [{ address: "10.77.0.2/24" }] },
    });
    expect(await inside("DEL")).toMatchObject({ exitCode: 0, stdout: "" });
    expect(readdirSync(join(dataDir, "net"))).toEqual(expect.not.arrayContaining(["10.77.0.2"]));
  });
});
