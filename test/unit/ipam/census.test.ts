import "../../harness/engine-setup.ts";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { findInCensus } from "../../../src/ipam/census.ts";
import { SystemError } from "../../../src/kernel/linux.ts";
import { formatIp } from "../../../src/net/ip.ts";

const folder = { dataDir: mkdtempSync(join(tmpdir(), "census-")), network: "net" };
const file = join(folder.dataDir, ".podwire/net/.census");
mkdirSync(join(folder.dataDir, ".podwire/net"), { recursive: true });
afterAll(() => rmSync(folder.dataDir, { recursive: true }));

const find = (containerId: string, ifname?: string): string[] =>
  findInCensus(folder, containerId).flatMap(({ holder, ip }) => (holder.ifname === ifname ? [formatIp(ip)] : []));
const address = (at: number): string => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;

describe("the census", () => {
  test("has the addresses of each of ten thousand holders, wherever a line lies between the pieces that are read", () => {
    // ids of every length, so that lines begin and end everywhere in a piece
    const id = (at: number): string => `c${at}-${"x".repeat(at % 97)}`;
    writeFileSync(file, `\n${Array.from({ length: 10_000 }, (_, at) => `${id(at)}:eth0 ${address(at)}\n`).join("")}`);
    const wrong = Array.from({ length: 10_000 }, (_, at) => at).filter(
      (at) => at % 7 === 0 && find(id(at), "eth0").join() !== address(at),
    );
    expect(wrong).toEqual([]);
    expect([find("c1", "eth0"), find(id(5), "eth1"), find(id(5))]).toEqual([[], [], []]);
  });

  test("has all of a holder's addresses, and those of old files without an interface", () => {
    writeFileSync(
      file,
      "\na:eth0 10.0.0.1\nb: 10.0.0.2\na:eth0 fd00::1\naa:eth0 10.0.0.3\nxa:eth0 10.0.0.4\na:eth0 no address\n",
    );
    expect([find("a", "eth0"), find("b"), find("b", "eth0")]).toEqual([["10.0.0.1", "fd00::1"], ["10.0.0.2"], []]);
  });

  test("may hold a line of any length a lease file has, and a torn end", () => {
    const long = "y".repeat(16 << 10);
    writeFileSync(
      file,
      `\n${"x".repeat(60_000)}:eth0 10.0.0.1\n${long}:eth0 10.0.0.2\n${long}:eth0 10.0.0.3\nb:eth0 10.0.0.4\nc:eth0 10.0`,
    );
    expect([find(long, "eth0"), find("b", "eth0"), find("c", "eth0")]).toEqual([
      ["10.0.0.2", "10.0.0.3"],
      ["10.0.0.4"],
      [],
    ]);
  });

  test("is searched to its end, whatever stands in it", () => {
    for (const content of ["", "\n", "no newline", "z".repeat(200_000), `${"z".repeat(200_000)}\na:eth0 10.0.0.1\n`]) {
      writeFileSync(file, content);
      expect(find("a", "eth0")).toEqual(content.endsWith("10.0.0.1\n") ? ["10.0.0.1"] : []);
    }
  });

  test("that is missing knows nobody, and one that cannot be read is an error", () => {
    rmSync(file);
    expect(find("a", "eth0")).toEqual([]);
    mkdirSync(file);
    expect(() => find("a", "eth0")).toThrow(SystemError);
    rmSync(file, { recursive: true });
  });
});
