import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attach, bridge, callFor, failure, hostLocal } from "./configs.ts";
import { type Call, Node } from "./harness.ts";

const config = (node: Node, ipam: object = { ranges: [[{ subnet: "10.9.0.0/24" }]] }, more: object = {}) => ({
  cniVersion: "1.1.0",
  name: "net",
  type: "main",
  ipam: { type: "host-local", dataDir: node.dataDir, ...ipam },
  ...more,
});
const call = (node: Node, containerId: string, ipam?: object, more?: object): Call => ({
  plugin: "host-local",
  config: config(node, ipam, more),
  containerId,
  netns: "/nonexistent",
});

describe("host-local by itself", () => {
  test("GC frees what is not valid, and without a list it frees nothing", async () => {
    const node = await Node.create();
    for (const id of ["kept", "lost"]) await node.succeed("ADD", call(node, id));
    const gc = (list: object): Call => ({ plugin: "host-local", config: { ...config(node), ...list } });
    await node.succeed("GC", gc({}));
    expect(Object.keys(node.leases())).toHaveLength(2);
    await node.succeed("GC", gc({ "cni.dev/valid-attachments": [{ containerID: "kept", ifname: "eth0" }] }));
    expect(node.leases()).toEqual({ "net/10.9.0.2": "kept\r\neth0" });
  });

  test("a container id that looks like an address is one like any other: DEL leaves the cursor alone", async () => {
    const node = await Node.create();
    await node.succeed("ADD", call(node, "10.9.0.2"));
    await node.succeed("DEL", call(node, "10.9.0.2"));
    expect(node.leases({ all: true })["net/last_reserved_ip.0"]).toBe("10.9.0.2");
  });

  test("STATUS is content, with a full range too, makes nothing, and is 50 where no lease can be written", async () => {
    const node = await Node.create();
    const small = { subnet: "10.9.0.0/30" };
    expect((await node.succeed("STATUS", call(node, "c1", small))).stdout).toBe("");
    expect(node.leases({ all: true })).toEqual({});
    await node.succeed("ADD", call(node, "c1", small));
    expect((await node.succeed("STATUS", call(node, "c1", small))).stdout).toBe("");
    writeFileSync(join(node.dataDir, "file"), "");
    const error = failure(
      await node.podwire("STATUS", call(node, "c1", { ...small, dataDir: join(node.dataDir, "file") })),
    );
    expect([error.code, error.msg]).toEqual([50, expect.stringContaining("no lease can be written there")]);
  });

  test("keeps of the call the owner alone, whatever else it carries: no configuration, no prevResult", async () => {
    const node = await Node.create();
    const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.1.1.2/24", gateway: "10.1.1.1" }] };
    await node.succeed("ADD", call(node, "c1", undefined, { prevResult, args: { secret: "hidden" } }));
    const [record] = Object.entries(node.leases({ all: true }))
      .filter(([path]) => path.endsWith("c1:eth0"))
      .map(([, text]) => text);
    expect(JSON.parse(record!)).toEqual({
      containerId: "c1",
      ifname: "eth0",
      ips: ["10.9.0.2"],
      marker: expect.any(String) as unknown,
    });
    await node.succeed("DEL", call(node, "c1"));
  });

  test("podwire's own namespace is refused before anything is done, unless the override says so", async () => {
    const node = await Node.create();
    const own = { ...call(node, "c1"), netns: node.path };
    expect(failure(await node.podwire("ADD", own)).code).toBe(8);
    expect(failure(await node.podwire("DEL", own)).code).toBe(8);
    expect(node.leases({ all: true })).toEqual({});
    await node.succeed("ADD", { ...own, env: { CNI_NETNS_OVERRIDE: "1" } });
  });

  test("a wrong configuration names every wrong key and makes nothing; DEL works with it", async () => {
    const node = await Node.create();
    await node.succeed("ADD", call(node, "c1"));
    const wrong = { ranges: [[{ subnet: "10.9.0.0/24", gateway: "fe80::1", rangeStart: "10.8.0.9" }]], routes: [{}] };
    const error = failure(await node.podwire("ADD", call(node, "c2", wrong)));
    expect(error.code).toBe(7);
    for (const key of ["ipam.ranges[0][0].gateway", "ipam.ranges[0][0].rangeStart", "ipam.routes[0].dst"]) {
      expect(error.msg).toContain(key);
    }
    expect(failure(await node.podwire("CHECK", call(node, "c1", wrong))).code).toBe(7);
    await node.succeed("DEL", { ...call(node, "c1", wrong), args: "nonsense" });
    expect(node.leases()).toEqual({});
  });

  test("an address that cannot be given fails before the folder is touched", async () => {
    const node = await Node.create();
    expect(failure(await node.podwire("ADD", { ...call(node, "c1"), args: "IP=192.0.2.1" }))).toMatchObject({
      code: 4,
      msg: expect.stringContaining("CNI_ARGS IP: 192.0.2.1 is in no range") as string,
    });
    expect(
      failure(await node.podwire("ADD", call(node, "c1", { subnet: "10.9.0.0/24", resolvConf: "/nonexistent" }))),
    ).toMatchObject({ code: 5, msg: expect.stringContaining("ipam.resolvConf") as string });
    expect(node.leases({ all: true })).toEqual({});
  });

  test("resolvConf becomes dns, in every shape of result", async () => {
    const node = await Node.create();
    writeFileSync(
      join(node.dataDir, "resolv.conf"),
      "nameserver 10.1.0.1\ndomain example.org\nsearch a b\noptions ndots:5\n",
    );
    const dns = { nameservers: ["10.1.0.1"], domain: "example.org", search: ["a", "b"], options: ["ndots:5"] };
    for (const cniVersion of ["0.2.0", "0.4.0", "1.1.0"]) {
      const answer = await node.succeed(
        "ADD",
        call(
          node,
          cniVersion,
          { subnet: "10.9.0.0/24", resolvConf: join(node.dataDir, "resolv.conf") },
          { cniVersion },
        ),
      );
      expect(answer.result?.dns).toEqual(dns);
    }
  });

  test("a thousand leases in the folder are no hindrance, and the last free address of a /22 is found", async () => {
    const node = await Node.create();
    mkdirSync(join(node.dataDir, "net"));
    const all = Array.from({ length: 1021 }, (_, i) => `10.9.${(i + 2) >> 8}.${(i + 2) & 255}`);
    for (const ip of all) writeFileSync(join(node.dataDir, "net", ip), `x${ip}\r\neth0`);
    rmSync(join(node.dataDir, "net/10.9.2.77"));
    const { result } = await node.succeed("ADD", call(node, "c1", { subnet: "10.9.0.0/22" }));
    expect(result?.ips).toEqual([{ address: "10.9.2.77/22", gateway: "10.9.0.1" }]);
    expect(failure(await node.podwire("ADD", call(node, "c2", { subnet: "10.9.0.0/22" })))).toMatchObject({
      code: 11,
      msg: expect.stringContaining(
        "it has 1021 addresses, 1021 are used, 0 of them by pods whose namespace is gone",
      ) as string,
    });
  });
});

describe("leases of pods that are gone", () => {
  /** Addresses .2 to .4. */
  const small = (node: Node) =>
    bridge(node, {
      isGateway: true,
      ipam: hostLocal(node, { ranges: [[{ subnet: "10.9.0.0/24", rangeEnd: "10.9.0.4" }]] }),
    });

  test("are taken back when the range is full, never before, and never a live pod's", async () => {
    const node = await Node.create();
    const pods = [];
    for (let i = 0; i < 3; i++) pods.push(await attach(node, small(node)));
    const [, gone] = pods;
    const another = await callFor(node, small(node));
    const full = failure(await node.podwire("ADD", another));
    expect([full.code, full.msg]).toEqual([
      11,
      expect.stringContaining(
        `it has 3 addresses, 3 are used, 0 of them by pods whose namespace is gone; see who has them: podwire leases --data-dir ${node.dataDir} --network net`,
      ),
    ]);
    await gone!.pod.remove();
    await expect.poll(async () => node.link(gone!.hostVeth)).toBeUndefined(); // the kernel takes its time
    const { result } = await node.succeed("ADD", another);
    expect(result?.ips).toMatchObject([{ address: `${gone!.ip4}/24` }]);
    expect(Object.keys(node.leases()).sort()).toEqual(["net/10.9.0.2", "net/10.9.0.3", "net/10.9.0.4"]);
    await node.succeed("DEL", gone!.call); // the runtime's late DEL does not hit the address's new owner
    expect(node.leases()[`net/${gone!.ip4}`]).toBe(`${another.containerId}\r\neth0`);
    expect(failure(await node.podwire("ADD", await callFor(node, small(node)))).code).toBe(11);
  });
});
