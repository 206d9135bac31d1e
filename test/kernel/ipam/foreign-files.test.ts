import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { collectLeases } from "../../../src/ipam/collect.ts";
import { leasedAddresses } from "../../../src/ipam/folder.ts";
import { checkLease, findLease, removeLease } from "../../../src/ipam/leases.ts";
import { formatIp } from "../../../src/net/ip.ts";
import { addresses, dual, LeaseNode, owner } from "./node.ts";

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
    "a pipe": (path: string) => void execFileSync("mkfifo", [path]),
  };

  test.each(Object.entries(strange))("%s blocks its address, and no operation frees it", (_name, make) => {
    const node = new LeaseNode();
    mkdirSync(node.path(""), { recursive: true });
    make(node.path("10.9.0.2"));
    const config = node.config();
    expect(addresses(node.addPod(config, "c1"))).toEqual(["10.9.0.3"]);
    rmSync(node.aside(), { recursive: true });
    expect(removeLease(node.folder, owner("c1")).map(formatIp)).toEqual(["10.9.0.3"]);
    expect(collectLeases(node.folder, () => [])).toEqual([]);
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
    const census = (): bigint =>
      statSync(node.aside(".census"), { bigint: true }).ino + statSync(node.aside(".census"), { bigint: true }).mtimeNs;
    let before = census();
    for (let i = 1; i < 20; i++) node.addPod(config, `c${i}`);
    for (let i = 1; i < 20; i++) removeLease(node.folder, owner(`c${i}`));
    expect(census()).toBe(before);
    node.write("10.9.0.99", "r1\r\neth0");
    node.addPod(config, "c20");
    expect(census()).not.toBe(before);
    before = census();
    expect(removeLease(node.folder, owner("r1"))).toHaveLength(1);
    node.addPod(config, "c21");
    expect(census()).toBe(before);
  });

  test("of an owner nothing is known of are looked for in all files", () => {
    const node = new LeaseNode();
    node.addPod(node.config(), "c1");
    const { mtimeNs } = statSync(join(node.dataDir, node.network), { bigint: true });
    node.write("10.9.0.2", "r1\r\neth0"); // in place: the folder's time stays
    expect(statSync(join(node.dataDir, node.network), { bigint: true }).mtimeNs).toBe(mtimeNs);
    expect(removeLease(node.folder, owner("r1")).map(formatIp)).toEqual(["10.9.0.2"]);
    expect(removeLease(node.folder, owner("c1"))).toEqual([]);
  });
});

describe("what podwire keeps beside the leases may be lost or damaged", () => {
  const damage: Record<string, (node: LeaseNode) => void> = {
    "all gone": (node) => rmSync(node.aside(), { recursive: true }),
    "record gone, as after a crash of the machine": (node) => rmSync(node.aside("c1:eth0")),
    "record cut": (node) => truncateSync(node.aside("c1:eth0"), 20),
    "record empty": (node) => truncateSync(node.aside("c1:eth0")),
    "record of somebody else": (node) =>
      writeFileSync(
        node.aside("c1:eth0"),
        JSON.stringify({ containerId: "c2", ifname: "eth0", ips: ["10.9.0.2"], marker: "" }),
      ),
    "record with other addresses": (node) =>
      writeFileSync(
        node.aside("c1:eth0"),
        JSON.stringify({ containerId: "c1", ifname: "eth0", ips: ["10.9.0.3"], marker: "" }),
      ),
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
    expect(readFileSync(node.aside(".stamp"), "utf8")).toContain(
      readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
    );
    writeFileSync(
      node.aside(".stamp"),
      readFileSync(node.aside(".stamp"), "utf8").replace(/^\S+/, "00000000-0000-0000-0000-000000000000"),
    );
    expect(() => node.addPod(node.config(), "c1")).toThrow("duplicate allocation");
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
