import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { collectLeases } from "../../../src/ipam/collect.ts";
import { leasedAddresses } from "../../../src/ipam/folder.ts";
import { checkLease, findLease, removeLease } from "../../../src/ipam/leases.ts";
import { formatIp } from "../../../src/net/ip.ts";
import { addresses, LeaseNode, owner } from "./node.ts";

const dual = [[{ subnet: "10.9.0.0/24" }], [{ subnet: "fd00:9::/64" }]];
const mode = (path: string): string => (statSync(path).mode & 0o7777).toString(8);

describe("what is on disk", () => {
  test("is the reference's format, byte for byte, with its modes", () => {
    const node = new LeaseNode();
    const { ips } = node.addPod(node.config(dual), "c1");
    expect(ips.map(({ address, gateway }) => [formatIp(address.ip), address.length, formatIp(gateway!)])).toEqual([["10.9.0.2", 24, "10.9.0.1"], ["fd00:9::2", 64, "fd00:9::1"]]);
    expect(node.leases()).toEqual({ "10.9.0.2": "c1\r\neth0", "fd00:9::2": "c1\r\neth0" });
    expect(readdirSync(node.path("")).sort()).toEqual(["10.9.0.2", "fd00:9::2", "last_reserved_ip.0", "last_reserved_ip.1", "lock"]);
    expect([0, 1].map((n) => readFileSync(node.path(`last_reserved_ip.${n}`), "utf8"))).toEqual(["10.9.0.2", "fd00:9::2"]);
    expect(["10.9.0.2", "fd00:9::2", "last_reserved_ip.0", "lock", ""].map((name) => mode(node.path(name)))).toEqual(["600", "600", "600", "750", "755"]);
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
    expect(() => checkLease(config, owner("c1", "eth1"))).toThrow("failed to find an address of container c1 (interface eth1)");
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
    for (const id of ["c1", "c2", "c3"]) expect(() => node.addPod(config, id)).toThrow(/has been allocated to c\d .*duplicate allocation is not allowed/);
    expect(() => node.addPod(node.config(undefined, { runtimeConfig: { ips: ["10.9.0.99"] } }), "c2")).toThrow("duplicate allocation");
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
    expect(ask).toThrow(expect.objectContaining({ code: 11, message: expect.stringContaining("requested IP address fd00:9::7 is not available in range set 1") as string }));
    expect(ask).toThrow("container other (interface eth0) has it");
    expect(node.leases()).toEqual({ "fd00:9::7": "other\r\neth0" });
  });

  test("when nothing could be written: before any file is made", () => {
    const node = new LeaseNode();
    expect(() => node.addPod(node.config(undefined, undefined, { resolvConf: "/nonexistent/resolv.conf" }), "c1")).toThrow(
      expect.objectContaining({ code: 5, message: expect.stringMatching(/^ipam\.resolvConf: .*\/nonexistent\/resolv\.conf.*no such file/) as string }),
    );
    expect(() => node.addPod(node.config(undefined, { runtimeConfig: { ips: ["192.0.2.1"] } }), "c1")).toThrow("in no range of the network");
    expect(existsSync(node.dataDir)).toBe(false);
    writeFileSync(node.dataDir, "a file");
    expect(() => node.addPod(node.config(), "c1")).toThrow(expect.objectContaining({ code: 5, message: expect.stringContaining(`cannot lease an address in ${node.dataDir}/net`) as string }));
  });
});

test("an address that is asked for is leased, though others are free before it", () => {
  const node = new LeaseNode();
  expect(addresses(node.addPod(node.config(dual, { runtimeConfig: { ips: ["fd00:9::1234/64", "10.9.0.200"] } }), "c1"))).toEqual(["10.9.0.200", "fd00:9::1234"]);
  expect(addresses(node.addPod(node.config(dual), "c2"))).toEqual(["10.9.0.201", "fd00:9::1235"]);
});

test("resolvConf becomes the result's DNS", () => {
  const node = new LeaseNode();
  writeFileSync(`${node.root}/resolv.conf`, "nameserver 10.1.0.1\n");
  expect(node.addPod(node.config(undefined, undefined, { resolvConf: `${node.root}/resolv.conf` }), "c1").dns.nameservers).toEqual(["10.1.0.1"]);
});

describe("files that are no leases", () => {
  const strange = {
    empty: (path: string) => writeFileSync(path, ""),
    "cut in the middle": (path: string) => writeFileSync(path, "c1\r\n\0\0\0"),
    binary: (path: string) => writeFileSync(path, Buffer.from([0xff, 0xfe, 0x00, 0x80])),
    "somebody's text": (path: string) => writeFileSync(path, "reserved for the printer, do not touch\n"),
    "very large": (path: string) => writeFileSync(path, "c1\r\neth0".padEnd(1 << 20, "x")),
    "a folder": (path: string) => mkdirSync(path),
    "a link to nothing": (path: string) => symlinkSync("/nonexistent", path),
    "a link to itself": (path: string) => symlinkSync(path, path),
    "a pipe": (path: string) => void Bun.spawnSync(["mkfifo", path]),
  };

  test.each(Object.entries(strange))("%s blocks its address, and no operation frees it", (_name, make) => {
    const node = new LeaseNode();
    mkdirSync(node.path(""), { recursive: true });
    make(node.path("10.9.0.2"));
    const config = node.config();
    expect(addresses(node.addPod(config, "c1"))).toEqual(["10.9.0.3"]);
    rmSync(node.aside(), { recursive: true });
    expect(removeLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.3"]);
    expect(collectLeases(node.folder, [])).toEqual([]);
    expect(readdirSync(node.path(""))).toContain("10.9.0.2");
  });

  test("other names are not looked at, whatever they hold", () => {
    const node = new LeaseNode();
    const names = ["010.9.0.3", "10.9.0.3~", "FD00::1", "fd00:0::1", "x", "last_reserved_ip.7"];
    for (const name of names) node.write(name, "c1\r\neth0");
    expect(leasedAddresses(node.folder)).toEqual([]);
    expect(removeLease(node.folder, owner("c1"))).toEqual([]);
    expect(readdirSync(node.path(""))).toEqual(expect.arrayContaining(names));
  });
});

describe("leases the reference makes in the same folder", () => {
  test("are found and removed, at once and with the clock of files standing still", () => {
    const node = new LeaseNode();
    const config = node.config();
    for (let i = 0; i < 50; i++) {
      node.addPod(config, `p${i}`);
      node.write(`10.9.0.${200 + (i % 50)}`, `r${i}\r\neth0`);
      expect(removeLease(node.folder, owner(`r${i}`)).map(formatIp)).toEqual([`10.9.0.${200 + (i % 50)}`]);
      expect(removeLease(node.folder, owner(`p${i}`))).toHaveLength(1);
    }
    expect([node.leases(), node.records()]).toEqual([{}, []]);
  });

  test("put right what podwire remembers: the owner's other address counts", () => {
    const node = new LeaseNode();
    const config = node.config();
    node.addPod(config, "c1");
    rmSync(node.path("10.9.0.2")); // the reference's DEL, and its ADD
    node.write("10.9.0.50", "c1\r\neth0");
    checkLease(config, owner("c1"));
    expect(() => node.addPod(config, "c1")).toThrow("10.9.0.50 has been allocated to c1");
    node.write("10.9.0.2", "c2\r\neth0");
    expect(removeLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.50"]);
    expect(node.leases()).toEqual({ "10.9.0.2": "c2\r\neth0" });
  });

  test("count besides those of a record that is right in part", () => {
    const node = new LeaseNode();
    node.addPod(node.config(dual), "c1");
    rmSync(node.path("fd00:9::2"));
    node.write("fd00:9::50", "c1\r\neth0");
    expect(removeLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.2", "fd00:9::50"]);
  });

  test("cost one reading of all files, and podwire's own none", () => {
    const node = new LeaseNode();
    const config = node.config();
    node.addPod(config, "c0");
    const census = (): bigint => statSync(node.aside(".census"), { bigint: true }).ino + statSync(node.aside(".census"), { bigint: true }).mtimeNs;
    let before = census();
    for (let i = 1; i < 20; i++) node.addPod(config, `c${i}`);
    for (let i = 1; i < 20; i++) removeLease(node.folder, owner(`c${i}`));
    removeLease(node.folder, owner("never"));
    expect(census()).toBe(before);
    node.write("10.9.0.99", "r1\r\neth0");
    removeLease(node.folder, owner("never"));
    expect(census()).not.toBe(before);
    before = census();
    expect(removeLease(node.folder, owner("r1"))).toHaveLength(1);
    node.addPod(config, "c20");
    expect(census()).toBe(before);
  });
});

describe("what podwire keeps beside the leases may be lost or damaged", () => {
  const damage: Record<string, (node: LeaseNode) => void> = {
    "all gone": (node) => rmSync(node.aside(), { recursive: true }),
    "record gone, as after a crash of the machine": (node) => rmSync(node.aside("c1:eth0")),
    "record cut": (node) => truncateSync(node.aside("c1:eth0"), 20),
    "record empty": (node) => truncateSync(node.aside("c1:eth0")),
    "record of somebody else": (node) => writeFileSync(node.aside("c1:eth0"), JSON.stringify({ containerId: "c2", ifname: "eth0", ips: ["10.9.0.2"], marker: "" })),
    "record with other addresses": (node) => writeFileSync(node.aside("c1:eth0"), JSON.stringify({ containerId: "c1", ifname: "eth0", ips: ["10.9.0.3"], marker: "" })),
  };

  test.each(Object.entries(damage))("%s", (_name, spoil) => {
    const node = new LeaseNode();
    const config = node.config();
    node.addPod(config, "c1");
    node.addPod(config, "c2");
    spoil(node);
    writeFileSync(`${node.path("")}/touched`, ""); // a crash leaves no stamp that fits
    expect(findLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.2"]);
    expect(() => node.addPod(config, "c1")).toThrow("duplicate");
    expect(removeLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.2"]);
    expect(removeLease(node.folder, owner("c2")).map(formatIp)).toEqual(["10.9.0.3"]);
  });

  test("a stamp of another boot counts for nothing", () => {
    const node = new LeaseNode();
    node.addPod(node.config(), "c1");
    rmSync(node.aside("c1:eth0"));
    expect(findLease(node.folder, owner("c1"))).toEqual([]); // trusted: nobody else was there
    expect(readFileSync(node.aside(".stamp"), "utf8")).toContain(readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
    writeFileSync(node.aside(".stamp"), readFileSync(node.aside(".stamp"), "utf8").replace(/^\S+/, "00000000-0000-0000-0000-000000000000"));
    expect(findLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.2"]);
  });
});

describe("files of old versions, with the container id alone", () => {
  test("are honoured when there are none with an interface", () => {
    const node = new LeaseNode();
    node.write("10.9.0.5", "c1");
    node.write("10.9.0.6", "c1\n");
    node.write("10.9.0.7", "c1\r\neth1");
    checkLease(node.config(), owner("c1", "eth0"));
    expect(removeLease(node.folder, owner("c1", "eth1")).map(formatIp)).toEqual(["10.9.0.7"]);
    expect(removeLease(node.folder, owner("c1", "eth0")).map(formatIp).sort()).toEqual(["10.9.0.5", "10.9.0.6"]);
    expect(node.leases()).toEqual({});
  });

  test("another container's are not", () => {
    const node = new LeaseNode();
    node.write("10.9.0.5", "c1");
    expect(removeLease(node.folder, owner("c"))).toEqual([]);
    appendFileSync(node.path("10.9.0.5"), "2");
    expect(removeLease(node.folder, owner("c1"))).toEqual([]);
    expect(node.leases()).toEqual({ "10.9.0.5": "c12" });
  });
});
