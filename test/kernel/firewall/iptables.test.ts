import { mkdtempSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MasqueradePart, Owner } from "../../../src/attachment/attachment.ts";
import { iptablesChain } from "../../../src/attachment/firewall/masquerade-iptables.ts";
import { startProcess } from "../../../src/kernel/process.ts";
import { parsePrefix } from "../../../src/net/ip.ts";
import { sh } from "./node.ts";
import { apply, assertTools, collect, compare, remove as removePart, statusOf } from "./parts.ts";

const owner = (ifname = "eth0", containerId = "1234"): Owner => ({ network: "test", containerId, ifname });
const masquerading = (...addresses: string[]): MasqueradePart => ({
  kind: "masquerade",
  backend: "iptables",
  addresses: addresses.map((text) => parsePrefix(text)!),
});
const chain = "CNI-2bbe0c48b91a7d1b8a6753a8";
const dual = masquerading("10.1.0.5/24", "10.2.0.5/24", "fd00::5/64");

/** By the addresses of `part`, or without knowing any. */
const remove = (who: Owner, part?: MasqueradePart) =>
  removePart(
    "masquerade",
    who,
    (part?.addresses ?? []).map(({ ip }) => ip),
    masquerading(),
  );

/** A folder whose iptables tools are of one flavour, to stand first in PATH. */
function flavour(kind: "nft" | "legacy"): string {
  const folder = mkdtempSync(join(tmpdir(), "iptables-"));
  for (const family of ["iptables", "ip6tables"]) {
    for (const tool of ["", "-save", "-restore"]) {
      symlinkSync(`/usr/sbin/${family}-${kind}${tool}`, join(folder, `${family}${tool}`));
    }
  }
  return folder;
}

const PATH = process.env.PATH!;
/** Where podwire looks for the tools, and the programs a test starts itself. */
function setPath(path: string): void {
  process.env.PATH = path;
  startProcess(
    ["podwire"],
    Object.entries(process.env).map(([name, value]) => `${name}=${value}`),
  );
}
const folders = { nft: flavour("nft"), legacy: flavour("legacy") };
const save = (): string[] =>
  sh(`PATH=${process.env.PATH}; iptables-save -t nat; ip6tables-save -t nat`)
    .split("\n")
    .filter((line) => /^-A|^:CNI/.test(line));
const comment = '-m comment --comment "name: \\"test\\" id: \\"1234\\""';

afterEach(() => {
  sh(`PATH=${process.env.PATH}; for t in iptables ip6tables; do $t -t nat -F; $t -t nat -X; done; nft flush ruleset`);
  setPath(PATH);
});

test("the chain has the reference's name", () => {
  expect(iptablesChain(owner())).toBe(chain);
});

describe.each(["nft", "legacy"] as const)("masquerading by iptables (%s)", (kind) => {
  beforeEach(() => {
    setPath(`${folders[kind]}:${PATH}`);
  });

  test("has the reference's rules, every subnet accepted before the rest is masqueraded", () => {
    assertTools(masquerading());
    assertTools(dual);
    apply(owner(), dual);
    expect(save().filter((line) => !line.includes("interface"))).toEqual([
      `:${chain} - [0:0]`,
      `-A POSTROUTING -s 10.1.0.5/32 ${comment} -j ${chain}`,
      `-A POSTROUTING -s 10.2.0.5/32 ${comment} -j ${chain}`,
      `-A ${chain} -d 10.1.0.0/24 ${comment} -j ACCEPT`,
      `-A ${chain} -d 10.2.0.0/24 ${comment} -j ACCEPT`,
      `-A ${chain} ! -d 224.0.0.0/4 ${comment} -j MASQUERADE`,
      `:${chain} - [0:0]`,
      `-A POSTROUTING -s fd00::5/128 ${comment} -j ${chain}`,
      `-A ${chain} -d fd00::/64 ${comment} -j ACCEPT`,
      `-A ${chain} ! -d ff00::/8 ${comment} -j MASQUERADE`,
    ]);
    expect(compare(owner(), dual)).toEqual([]);
    const before = save();
    apply(owner(), dual);
    expect(save()).toEqual(before);
  });

  test("is found changed", () => {
    expect(compare(owner(), dual)).toEqual([
      `iptables chain ${chain} is missing in table nat (IPv4)`,
      `iptables chain ${chain} is missing in table nat (IPv6)`,
    ]);
    apply(owner(), dual);
    sh(
      `PATH=${process.env.PATH}; iptables -t nat -D POSTROUTING 1; iptables -t nat -D ${chain} 1; ip6tables -t nat -I ${chain} -j MASQUERADE`,
    );
    expect(compare(owner(), dual)).toEqual([
      `iptables chain ${chain} lacks the rule -d 10.1.0.0/24 ${comment} -j ACCEPT`,
      "iptables chain POSTROUTING lacks the jump for 10.1.0.5",
    ]);
  });

  test("is removed by address or without, twice, and leaves the container's other interface alone", () => {
    remove(owner());
    const other = masquerading("10.3.0.5/24");
    apply(owner("net1"), other);
    const alone = save();
    apply(owner(), dual);
    expect(compare(owner("net1"), other)).toEqual([]);
    remove(owner());
    expect(save()).toEqual(alone);
    remove(owner());
    expect(save()).toEqual(alone);
    apply(owner(), dual);
    remove(owner(), dual);
    expect(save()).toEqual(alone);
    remove(owner("net1"), other);
    expect(save()).toEqual([]);
  });

  test("is undone", () => {
    const undo = apply(owner(), dual);
    undo();
    expect(save()).toEqual([]);
  });

  test("is collected by the network's comment", () => {
    apply(owner(), dual);
    apply({ network: "test2", containerId: "x", ifname: "eth0" }, masquerading("10.9.0.5/24"));
    collect("masquerade", "test", [{ containerId: "1234", ifname: "eth0" }], masquerading());
    expect(compare(owner(), dual)).toEqual([]);
    collect("masquerade", "test", [], masquerading());
    expect(save()).toHaveLength(5);
  });
});

describe("without the tools", () => {
  test("what is missing is named before anything is done", () => {
    setPath("/nowhere");
    expect(() => assertTools(masquerading())).toThrow(
      "cannot find iptables-save in PATH (/nowhere); the iptables backend needs it",
    );
    expect(() => statusOf(dual)).toThrow(expect.objectContaining({ code: 50 }));
    remove(owner(), dual);
    setPath(PATH);
  });
});
