import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseBase, readLogSettings, readType } from "../../src/protocol/config.ts";
import type { Invocation, JsonObject, Verb } from "../../src/cni/invocation.ts";
import { quietLog } from "../../src/cni/log.ts";
import { parseDhcp } from "../../src/ipam/dhcp-config.ts";
import { parseIpamConfig } from "../../src/ipam/config.ts";
import { bridge } from "../../src/plugins/interface/bridge.ts";
import { hostDevice } from "../../src/plugins/interface/host-device.ts";
import { tap } from "../../src/plugins/interface/tap.ts";
import { dummy } from "../../src/plugins/interface/dummy.ts";
import { ipvlan } from "../../src/plugins/interface/ipvlan.ts";
import { vlan } from "../../src/plugins/interface/vlan.ts";
import { macvlan } from "../../src/plugins/interface/macvlan.ts";
import { findPlugin, pluginNames } from "../../src/plugins/registry.ts";
import { ptp } from "../../src/plugins/interface/ptp.ts";
import { files, text, withoutComments } from "./source.ts";

// conf/README.md is the reference of keys. What podwire reads is not listed anywhere: it is found out, by giving each
// reader a configuration that notes which of its keys are looked at, of all the words there are in the source.

const words = new Set(
  files.flatMap((path) => text(path).match(/"[\w./-]+"|[A-Za-z_]\w*/g) ?? []).map((word) => word.replaceAll('"', "")),
);

/** What is read of one level of a configuration: its keys in lower case, none where it is no object with known keys. */
function keysRead(read: (config: unknown) => void): string[] {
  const seen = new Set<string>();
  const probe = { toJSON: () => "shown in an error" };
  for (const word of words) {
    if (word === "toJSON") continue;
    const get = (): void => void seen.add(word.toLowerCase());
    Object.defineProperty(probe, word, { enumerable: true, configurable: true, get });
  }
  try {
    read(probe);
  } catch {
    // what was wrong with it is of no interest
  }
  // who looks at more keys than a schema has (a map, whose keys are data) knows none
  return seen.size < 100 ? [...seen] : [];
}

const NESTED = 5;

/** The paths of all that a reader knows, as `ipam.ranges[][].subnet`, in lower case; of what has keys, only those. */
function pathsRead(read: (config: unknown) => void, wrap = (level: unknown): unknown => level, path = ""): string[] {
  if (path.split(/[.[]/).length > 2 * NESTED) throw new Error(`${path}: is there no end?`);
  return keysRead((probe) => read(wrap(probe))).flatMap((key) => {
    const inside = path === "" ? key : `${path}.${key}`;
    // an object, a list of them, a list of lists: what it is not is an error, in which nothing is read
    const deeper = ["", "[]", "[][]"].flatMap((brackets) => {
      const held = (level: unknown): unknown => (brackets === "" ? level : brackets === "[]" ? [level] : [[level]]);
      return pathsRead(read, (level) => wrap({ [key]: held(level) }), `${inside}${brackets}`);
    });
    return deeper.length > 0 ? deeper : [inside];
  });
}

const call = (config: unknown): Invocation => ({
  verb: "ADD",
  containerId: "a",
  netns: "/a",
  ifname: "eth0",
  args: "",
  path: "",
  netnsOverride: false,
  stdin: new Uint8Array(0),
  config: config as JsonObject,
  network: "net",
  cniVersion: "1.1.0",
  validAttachments: [],
  log: quietLog(),
});

/** As it stands, and with the keys without which it is not read any further. */
const ofBase = (verb: Verb) => (config: unknown) => {
  const sound = Object.defineProperties({}, Object.getOwnPropertyDescriptors(config as object));
  for (const key of [...Object.keys(sound), "name", "cniVersion"]) {
    const value = { name: "net", cniversion: "1.1.0" }[key.toLowerCase()];
    if (value !== undefined) Object.defineProperty(sound, key, { value, enumerable: true });
  }
  for (const each of [config, sound]) {
    try {
      parseBase(each as JsonObject, verb, quietLog());
    } catch {
      // as above
    }
  }
};

const base = [
  ...pathsRead(ofBase("ADD")),
  ...pathsRead(ofBase("GC")),
  ...pathsRead((config) => readType(config as JsonObject)),
  ...pathsRead((config) => readLogSettings(config as JsonObject)),
].map((path) => path.replace(/^prevresult\..*/, "prevresult")); // a result has keys of its own

const ipam = pathsRead((config) => parseIpamConfig(call(config)));
const plugins: Record<string, string[]> = {
  bridge: pathsRead((config) => bridge.read(call(config))),
  ptp: pathsRead((config) => ptp.read(call(config))),
  macvlan: pathsRead((config) => macvlan.read(call(config))),
  "host-device": pathsRead((config) => hostDevice.read(call(config))),
  ipvlan: pathsRead((config) => ipvlan.read(call(config))),
  vlan: pathsRead((config) => vlan.read(call(config))),
  tap: pathsRead((config) => tap.read(call(config))),
  dummy: pathsRead((config) => dummy.read(call(config))),
  "host-local": pathsRead((config) => findPlugin("host-local")!.check(call(config))),
  sbr: pathsRead((config) => findPlugin("sbr")!.add(call(config))),
  static: pathsRead((config) => findPlugin("static")!.status(call(config))),
  dhcp: pathsRead((config) => parseDhcp(call(config))),
  bandwidth: pathsRead((config) => findPlugin("bandwidth")!.add(call(config))),
  tuning: pathsRead((config) => findPlugin("tuning")!.add(call(config))),
  portmap: pathsRead((config) => findPlugin("portmap")!.add(call(config))),
  firewall: pathsRead((config) => findPlugin("firewall")!.add(call(config))),
  flannel: pathsRead((config) => findPlugin("flannel")!.add(call(config))),
  vrf: pathsRead((config) => findPlugin("vrf")!.add(call(config))),
  loopback: pathsRead((config) => findPlugin("loopback")!.add(call(config))),
};

const sections = new Map(
  readFileSync(join(import.meta.dirname, "../../conf/README.md"), "utf8")
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), section]),
);

/** The keys in the first column of a section's tables of keys, as they are written; `.c` after `a.b` is `a.c`. */
function keysIn(title: string): string[] {
  const section = sections.get(title);
  if (section === undefined) throw new Error(`conf/README.md has no section ${title}`);
  const keys: string[] = [];
  for (const table of section.matchAll(/^\| key \| .*\n\|[-|]+\|\n((?:\|.*\n)+)/gm)) {
    for (const [, cell] of table[1]!.matchAll(/^\| (.*?) \|/gm)) {
      for (const [, key] of cell!.matchAll(/`([^`]+)`/g)) {
        const last = keys.at(-1) ?? "";
        keys.push(key!.startsWith(".") ? `${last.slice(0, last.lastIndexOf("."))}${key}` : key!);
      }
    }
  }
  return keys;
}

const about: Record<string, string[]> = {
  bridge: ["Keys of bridge and ptp", "Keys of bridge", "Keys of portmap"],
  ptp: ["Keys of bridge and ptp", "Keys of ptp", "Keys of portmap"],
  macvlan: ["Keys of links in the pod alone", "Keys of links with a master", "Keys of macvlan"],
  "host-device": ["Keys of host-device"],
  ipvlan: ["Keys of links in the pod alone", "Keys of links with a master", "Keys of ipvlan"],
  vlan: ["Keys of links in the pod alone", "Keys of links with a master", "Keys of vlan"],
  tap: ["Keys of tap"],
  dummy: ["Keys of dummy"],
  "host-local": ["Keys of host-local"],
  sbr: ["Keys of sbr"],
  static: ["Keys of static"],
  dhcp: ["Keys of dhcp"],
  portmap: ["Keys of portmap"],
  firewall: ["Keys of firewall"],
  flannel: ["Keys of flannel"],
  bandwidth: ["Keys of bandwidth"],
  tuning: ["Keys of tuning"],
  vrf: ["Keys of vrf"],
  loopback: [],
};
const everywhere = keysIn("Keys of every plugin");
const sorted = (paths: string[]): string[] => [...new Set(paths.map((path) => path.toLowerCase()))].toSorted();

describe("conf/README.md", () => {
  test("has the keys that every plugin reads, and no others", () => {
    expect(sorted(everywhere)).toEqual(sorted(base));
  });

  test.each(pluginNames)("has the keys %s reads, and no others", (name) => {
    const documented = about[name]!.flatMap(keysIn);
    const known = sorted(everywhere);
    expect(sorted(documented)).toEqual(sorted(plugins[name]!).filter((path) => !known.includes(path)));
  });

  test("has the keys of host-local that bridge and ptp read with it", () => {
    expect(sorted(ipam)).toEqual(sorted(plugins["host-local"]!));
  });

  test("spells keys as the source does, each once in a section", () => {
    const titles = [...new Set(["Keys of every plugin", ...Object.values(about).flat()])];
    for (const title of titles) expect([title, keysIn(title)]).toEqual([title, [...new Set(keysIn(title))]]);
    const names = titles.flatMap(keysIn).flatMap((key) => key.split(key.startsWith("cni.dev/") ? "[]." : /\[\]\.?|\./));
    expect([...new Set(names)].filter((name) => name !== "" && !words.has(name))).toEqual([]);
  });
});

// A reader that is not asked above would go unnoticed.
test("the readers of a configuration are those asked here", () => {
  const calls = /\b(?:parseConfig|parseLeniently|readConfig)\(/;
  const readers = files.filter((path) => calls.test(withoutComments(text(path))));
  expect(readers.toSorted()).toEqual([
    "cli/network-list.ts",
    "cni/reading.ts",
    "dhcp/record.ts", // what podwire wrote
    "ipam/config.ts",
    "ipam/dhcp-config.ts",
    "ipam/plugin-process.ts", // what another plugin printed
    "ipam/static-config.ts",
    "plugins/chained/bandwidth.ts",
    "plugins/chained/firewall.ts",
    "plugins/chained/portmap.ts",
    "plugins/chained/sbr.ts",
    "plugins/chained/vrf.ts",
    "plugins/interface/argument-mac.ts", // those who hear of a MAC in several places
    "plugins/interface/dummy.ts",
    "plugins/interface/flannel-delegate.ts",
    "plugins/interface/flannel.ts",
    "plugins/interface/host-device.ts",
    "plugins/interface/ipvlan.ts",
    "plugins/interface/ptp.ts",
    "plugins/interface/vlan.ts",
    "protocol/cached-result.ts", // what libcni wrote
    "protocol/config.ts",
    "survey/topology.ts", // what the runtime asked for
    "verbs/plugin.ts", // `ipam.type` alone, before `read`
  ]);
});
