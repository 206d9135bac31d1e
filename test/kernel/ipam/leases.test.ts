import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { checkLease, findLease, removeLease } from "../../../src/ipam/leases.ts";
import { formatIp } from "../../../src/net/ip.ts";
import { addresses, dual, LeaseNode, owner } from "./node.ts";

const mode = (path: string): string => (statSync(path).mode & 0o7777).toString(8);

describe("what is on disk", () => {
  test("is the reference's format, byte for byte, with its modes", () => {
    const node = new LeaseNode();
    const { ips } = node.addPod(node.config(dual), "c1");
    expect(ips.map(({ address, gateway }) => [formatIp(address.ip), address.length, formatIp(gateway!)])).toEqual([
      ["10.9.0.2", 24, "10.9.0.1"],
      ["fd00:9::2", 64, "fd00:9::1"],
    ]);
    expect(node.leases()).toEqual({ "10.9.0.2": "c1\r\neth0", "fd00:9::2": "c1\r\neth0" });
    expect(readdirSync(node.path("")).sort()).toEqual([
      "10.9.0.2",
      "fd00:9::2",
      "last_reserved_ip.0",
      "last_reserved_ip.1",
      "lock",
    ]);
    expect([0, 1].map((n) => readFileSync(node.path(`last_reserved_ip.${n}`), "utf8"))).toEqual([
      "10.9.0.2",
      "fd00:9::2",
    ]);
    expect(["10.9.0.2", "fd00:9::2", "last_reserved_ip.0", "lock", ""].map((name) => mode(node.path(name)))).toEqual([
      "600",
      "600",
      "600",
      "750",
      "755",
    ]);
    expect(statSync(node.path("lock")).size).toBe(0);
    expect(node.records()).toEqual(["c1:eth0"]);
  });

  test("a shorter cursor replaces a longer one whole", () => {
    const node = new LeaseNode();
    node.write("last_reserved_ip.0", "10.9.0.254");
    expect(addresses(node.addPod(node.config(), "c1"))).toEqual(["10.9.0.2"]);
    expect(readFileSync(node.path("last_reserved_ip.0"), "utf8")).toBe("10.9.0.2");
  });

  test.each(["", "nonsense", "10.9.0.2\n", "fd00::1"])("a cursor %j that says nothing starts over", (cursor) => {
    const node = new LeaseNode();
    node.write("last_reserved_ip.0", cursor);
    expect(addresses(node.addPod(node.config(), "c1"))).toEqual(["10.9.0.2"]);
  });

  test("owners with long names have records of their own", () => {
    const node = new LeaseNode();
    const config = node.config();
    const long = "a".repeat(900);
    expect([`${long}1`, `${long}2`].map((id) => addresses(node.add(config, id)))).toEqual([["10.9.0.2"], ["10.9.0.3"]]);
    expect(node.records()).toHaveLength(2);
    expect(removeLease(node.folder, owner(`${long}1`)).map(formatIp)).toEqual(["10.9.0.2"]);
    expect(findLease(node.folder, owner(`${long}2`)).map(formatIp)).toEqual(["10.9.0.3"]);
  });
});

describe("an owner's lease", () => {
  test("is found, checked, removed once; removing again, or without any folder, is no error and makes nothing", () => {
    const node = new LeaseNode();
    const config = node.config(dual);
    expect(removeLease(node.folder, owner("c1"))).toEqual([]);
    expect(findLease(node.folder, owner("c1"))).toEqual([]);
    expect(existsSync(node.dataDir)).toBe(false);
    node.addPod(config, "c1");
    node.addPod(config, "c2");
    checkLease(config, owner("c1"));
    expect(() => checkLease(config, owner("c1", "eth1"))).toThrow(
      "failed to find an address of container c1 (interface eth1)",
    );
    expect(removeLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.2", "fd00:9::2"]);
    expect(removeLease(node.folder, owner("c1"))).toEqual([]);
    expect(() => checkLease(config, owner("c1"))).toThrow("failed to find");
    expect([Object.keys(node.leases()), node.records()]).toEqual([["10.9.0.3", "fd00:9::3"], ["c2:eth0"]]);
  });

  test("that a killed ADD left there is removed by DEL, and by another ADD", () => {
    const node = new LeaseNode();
    node.addPod(node.config(), "c1");
    for (const left of ["", "c2\r\ne", "c2\r\neth0"]) {
      writeFileSync(node.aside(".new-c2:eth0"), left);
      expect(removeLease(node.folder, owner("c2"))).toEqual([]);
      expect(node.records()).toEqual(["c1:eth0"]);

      writeFileSync(node.aside(".new-c2:eth0"), left);
      node.addPod(node.config(), "c2");
      expect(node.records()).toEqual(["c1:eth0", "c2:eth0"]);
      expect(Object.values(node.leases())).toEqual(["c1\r\neth0", "c2\r\neth0"]);
      expect(removeLease(node.folder, owner("c2"))).toHaveLength(1);
    }
  });

  test("is not leased twice, whoever made it, and survives the attempt", () => {
    const node = new LeaseNode();
    const config = node.config();
    node.addPod(config, "c1");
    node.write("10.9.0.77", "c2\r\neth0");
    node.write("10.9.0.78", "c3");
    const before = node.leases();
    for (const id of ["c1", "c2", "c3"]) {
      expect(() => node.addPod(config, id)).toThrow(/has been allocated to c\d .*duplicate allocation is not allowed/);
    }
    expect(() => node.addPod(node.config(undefined, { runtimeConfig: { ips: ["10.9.0.99"] } }), "c2")).toThrow(
      "duplicate allocation",
    );
    expect(node.leases()).toEqual(before);
    expect(node.records()).toEqual(["c1:eth0"]);
  });

  test("of a range set that is not configured any more stands in no one's way, and goes with the owner", () => {
    const node = new LeaseNode();
    node.addPod(node.config(), "c1");
    expect(addresses(node.addPod(node.config([[{ subnet: "10.7.0.0/24" }]]), "c1"))).toEqual(["10.7.0.2"]);
    expect(findLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.2", "10.7.0.2"]);
    expect(removeLease(node.folder, owner("c1"))).toHaveLength(2);
    expect(node.leases()).toEqual({});
  });

  test("is taken back by undo, and nothing else", () => {
    const node = new LeaseNode();
    node.addPod(node.config(), "c1");
    const second = node.addPod(node.config([[{ subnet: "10.7.0.0/24" }]]), "c1");
    second.undo();
    expect([node.leases(), node.records()]).toEqual([{ "10.9.0.2": "c1\r\neth0" }, ["c1:eth0"]]);
    expect(findLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.2"]);
    const other = node.addPod(node.config(), "c2");
    other.undo();
    other.undo();
    expect([Object.keys(node.leases()), node.records()]).toEqual([["10.9.0.2"], ["c1:eth0"]]);
  });

  test("undo leaves an address alone that is somebody else's by then", () => {
    const node = new LeaseNode();
    const leased = node.addPod(node.config(), "c1");
    node.write("10.9.0.2", "c2\r\neth0");
    leased.undo();
    expect(node.leases()).toEqual({ "10.9.0.2": "c2\r\neth0" });
  });
});

describe("a failed ADD leaves everything as it was", () => {
  test("when a later range set is exhausted", () => {
    const node = new LeaseNode();
    const config = node.config([[{ subnet: "10.9.0.0/24" }], [{ subnet: "10.7.0.0/30" }]]);
    node.addPod(config, "c1");
    const before = [node.leases(), node.records(), readFileSync(node.path("last_reserved_ip.0"), "utf8")];
    expect(() => node.addPod(config, "c2")).toThrow("no IP addresses available in range set 1");
    expect([node.leases(), node.records(), readFileSync(node.path("last_reserved_ip.0"), "utf8")]).toEqual(before);
  });

  test("when an address that is asked for is taken, which names who has it", () => {
    const node = new LeaseNode();
    node.write("fd00:9::7", "other\r\neth0");
    const ask = () => node.addPod(node.config(dual, { args: { cni: { ips: ["10.9.0.9", "fd00:9::7"] } } }), "c1");
    expect(ask).toThrow(
      expect.objectContaining({
        code: 11,
        message: expect.stringContaining("requested IP address fd00:9::7 is not available in range set 1") as string,
      }),
    );
    expect(ask).toThrow("container other (interface eth0) has it");
    expect(node.leases()).toEqual({ "fd00:9::7": "other\r\neth0" });
  });

  test("when nothing could be written: before any file is made", () => {
    const node = new LeaseNode();
    expect(() =>
      node.addPod(node.config(undefined, undefined, { resolvConf: "/nonexistent/resolv.conf" }), "c1"),
    ).toThrow(
      expect.objectContaining({
        code: 5,
        message: expect.stringMatching(/^ipam\.resolvConf: .*\/nonexistent\/resolv\.conf.*no such file/) as string,
      }),
    );
    expect(() => node.addPod(node.config(undefined, { runtimeConfig: { ips: ["192.0.2.1"] } }), "c1")).toThrow(
      "in no range of the network",
    );
    expect(existsSync(node.dataDir)).toBe(false);
    writeFileSync(node.dataDir, "a file");
    expect(() => node.addPod(node.config(), "c1")).toThrow(
      expect.objectContaining({
        code: 5,
        message: expect.stringContaining(`cannot lease an address in ${node.dataDir}/net`) as string,
      }),
    );
  });
});

test("an address that is asked for is leased, though others are free before it", () => {
  const node = new LeaseNode();
  expect(
    addresses(node.addPod(node.config(dual, { runtimeConfig: { ips: ["fd00:9::1234/64", "10.9.0.200"] } }), "c1")),
  ).toEqual(["10.9.0.200", "fd00:9::1234"]);
  expect(addresses(node.addPod(node.config(dual), "c2"))).toEqual(["10.9.0.201", "fd00:9::1235"]);
});

test("resolvConf becomes the result's DNS", () => {
  const node = new LeaseNode();
  writeFileSync(`${node.root}/resolv.conf`, "nameserver 10.1.0.1\n");
  expect(
    node.addPod(node.config(undefined, undefined, { resolvConf: `${node.root}/resolv.conf` }), "c1").dns.nameservers,
  ).toEqual(["10.1.0.1"]);
});
