import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { Containerd, available, loadConf, Machine, Node, type Outside } from "./harness.ts";

const programs = ["containerd", "ctr", "runc", "busybox", "tar"];
const leaseFolder = "/run/cni-ipam-state";

describe.runIf(available("containerd", programs, { root: true }))(
  "containerd's CRI with kindnet's configurations",
  () => {
    let node: Node;
    let outside: Outside;
    let machine: Machine;
    let containerd: Containerd;
    let running: string[] = [];
    beforeAll(async () => {
      rmSync(leaseFolder, { recursive: true, force: true });
      node = await Node.create();
      outside = await node.outside();
      machine = await Machine.start(node);
      await machine.install();
      machine.network(loadConf("kindnet.conflist"));
      containerd = await Containerd.start(machine);
    });
    afterEach(async () => {
      await Promise.all(running.map(async (id) => containerd.remove(id)));
      running = [];
    });

    const run = async (options: Parameters<Containerd["run"]>[0] = {}): Promise<string> => {
      const id = await containerd.run(options);
      running.push(id);
      return id;
    };
    const removeAll = async (): Promise<void> => {
      await Promise.all(running.map(async (id) => containerd.remove(id)));
      running = [];
    };
    const leases = (): Record<string, string> => node.leases({ folder: leaseFolder });
    const leasesOf = (id: string): string[] =>
      Object.entries(leases())
        .filter(([, text]) => text.startsWith(id))
        .map(([path]) => path.split("/")[1]!);
    /** All of the node that a sandbox could leave something in. */
    const state = async (): Promise<Awaited<ReturnType<Node["snapshot"]>> & { namespaces: string[] }> => ({
      ...(await node.snapshot()),
      leases: leases(),
      namespaces: readdirSync("/run/netns").filter((name) => name.startsWith("cni-")),
    });
    /** Switches to a file of conf/; containerd reads its network again when the folder changes. */
    const useNetwork = async (file: string): Promise<void> => {
      machine.network(loadConf(file));
      await containerd.kill();
      await containerd.start();
    };

    test("says that its network is ready", async () => {
      const { status } = await containerd.cri.call("Status", {});
      expect(status.conditions.find(({ type }) => type === "NetworkReady")).toMatchObject({ status: true });
    });

    describe.each([
      ["kindnet.conflist", 1],
      ["kindnet-ipv6.conflist", 1],
      ["kindnet-dual-stack.conflist", 2],
    ])("%s", (file, families) => {
      beforeAll(async () => useNetwork(file));

      test("gives sandboxes the addresses it reports, and they reach each other", async () => {
        await containerd.remove(await containerd.run());
        const before = await state();
        const [one, two] = await Promise.all([run(), run()]).then(async (ids) =>
          Promise.all(ids.map(async (id) => containerd.status(id))),
        );
        for (const sandbox of [one!, two!]) {
          expect(sandbox.state).toBe("SANDBOX_READY");
          expect(sandbox.ips).toHaveLength(families);
          expect(sandbox.ips.toSorted()).toEqual(leasesOf(sandbox.id).toSorted());
          expect(
            (await sandbox.netns!.addresses("eth0")).map((address) => address.replace(/\/.*/, "")).toSorted(),
          ).toEqual(sandbox.ips.toSorted());
          expect((await sandbox.netns!.link("lo"))?.flags).toContain("UP");
        }
        for (const address of two!.ips) expect([address, await one!.netns!.ping(address)]).toEqual([address, true]);
        for (const address of one!.ips) expect([address, await two!.netns!.ping(address)]).toEqual([address, true]);
        await removeAll();
        expect(await state()).toEqual(before);
      });

      test("maps host ports of both protocols, and takes them away", async () => {
        await containerd.remove(await containerd.run({ ports: [{ host_port: 8079, container_port: 79 }] }));
        const before = await state();
        const id = await run({
          ports: [
            { host_port: 8080, container_port: 80 },
            { host_port: 8053, container_port: 53, protocol: "UDP" },
          ],
        });
        const { netns, ips } = await containerd.status(id);
        await netns!.listen(80, { name: "pod" });
        await netns!.listen(53, { name: "pod", protocol: "udp" });
        for (const ip of ips) {
          const [host, client] = ip.includes(":")
            ? [outside.node6, outside.address6]
            : [outside.node4, outside.address4];
          expect(await outside.connect(host, 8080)).toMatchObject({ server: "pod", from: client, to: ip });
          expect(await outside.connect(host, 8053, { protocol: "udp" })).toMatchObject({ server: "pod", from: client });
          expect(await node.connect(host, 8080)).toMatchObject({ server: "pod" });
        }
        await netns!.stopListening();
        await removeAll();
        expect(await state()).toEqual(before);
        await expect(outside.connect(outside.node4, 8080)).rejects.toThrow("ECONNREFUSED");
      });
    });

    test("twenty sandboxes at once: each has its own addresses, reaches the others, and nothing is left of them", async () => {
      await containerd.remove(await containerd.run({ ports: [{ host_port: 8079, container_port: 79 }] }));
      const before = await state();
      const ids = await Promise.all(
        Array.from({ length: 20 }, async (_, index) =>
          run({ ports: [{ host_port: 9000 + index, container_port: 80 }] }),
        ),
      );
      const sandboxes = await Promise.all(ids.map(async (id) => containerd.status(id)));
      expect(new Set(sandboxes.flatMap(({ ips }) => ips)).size).toBe(40);
      for (const { id, ips } of sandboxes) expect(ips.toSorted()).toEqual(leasesOf(id).toSorted());
      const ring = sandboxes.map(async ({ netns }, index) =>
        Promise.all(sandboxes[(index + 1) % 20]!.ips.map(async (ip) => netns!.ping(ip))),
      );
      expect((await Promise.all(ring)).flat()).toEqual(Array.from({ length: 40 }, () => true));
      await sandboxes[7]!.netns!.listen(80, { name: "seventh" });
      expect(await outside.connect(outside.node4, 9007)).toMatchObject({ server: "seventh" });
      await sandboxes[7]!.netns!.stopListening();
      await removeAll();
      expect(await state()).toEqual(before);
    });

    test("stopping a sandbox twice, and one whose namespace is gone, leaves nothing", async () => {
      await containerd.remove(await containerd.run());
      const before = await state();
      const [one, two] = [await run(), await run()];
      const { netns } = await containerd.status(two);
      await containerd.stop(one);
      await containerd.stop(one);
      await netns!.remove();
      await removeAll();
      expect(await state()).toEqual(before);
    });

    test("containerd killed between ADD and its reply: StopPodSandbox takes everything away", async () => {
      await containerd.remove(await containerd.run());
      const neighbour = await containerd.status(await run());
      const before = await state();
      const hold = join(machine.folder, "hold");
      const list = loadConf("kindnet-dual-stack.conflist");
      machine.write("/opt/cni/bin/held-ptp", holdingPlugin(hold), 0o755);
      machine.network({
        ...list,
        plugins: list.plugins.map((plugin) => (plugin.type === "ptp" ? { ...plugin, type: "held-ptp" } : plugin)),
      });
      await containerd.kill();
      await containerd.start();
      await machine.must("mkfifo", [hold]);

      const reply = containerd.run({ name: "held" }).then(
        () => "answered",
        () => "no answer",
      );
      await expect.poll(() => existsSync(`${hold}.reached`)).toBe(true);
      const made = await state();
      expect(Object.keys(made.leases)).toHaveLength(4);
      await containerd.kill();
      expect(await reply).toBe("no answer");
      await machine.must("sh", ["-c", 'echo >"$1"; rm "$1"', "sh", hold]);

      await containerd.start();
      const { items } = await containerd.cri.call("ListPodSandbox", {});
      const held = items.find(({ metadata }) => metadata.name === "held");
      expect(held).toBeDefined();
      await containerd.remove(held!.id);
      expect(await state()).toEqual(before);
      expect(await neighbour.netns!.ping(neighbour.ips[0]!)).toBe(true);
      // the kubelet's next attempt
      const again = await containerd.status(await run({ name: "held", attempt: 1 }));
      expect(await again.netns!.ping(neighbour.ips[0]!)).toBe(true);
      await removeAll();
    });
  },
);

/**
 * A plugin that is podwire's ptp, but for keeping the reply of an ADD back until someone writes into the fifo, if there
 * is one.
 */
const holdingPlugin = (fifo: string): string => `#!/bin/sh
reply=$(/opt/cni/bin/ptp)
status=$?
if [ "$CNI_COMMAND" = ADD ] && [ -p ${fifo} ]; then
  : >${fifo}.reached
  read -r _ <${fifo}
fi
printf %s "$reply"
exit $status
`;
