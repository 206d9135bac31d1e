import { type Base, type Json, isNot, keys } from "./corpus-keys.ts";

/** One call that must be refused: what a runtime says, and the error it must get. */
export interface Bad {
  what: string;
  plugin: string;
  /** variables besides CNI_COMMAND=ADD and sound ones; undefined leaves one out */
  env: Record<string, string | undefined>;
  stdin: string | Buffer;
  code: number | number[];
  /** what the message (or details) must name: the key or variable */
  names: string | RegExp;
}

export const text = (config: unknown): string => JSON.stringify(config);
// oxlint-disable-next-line max-params -- one line of the corpus is one call
export const bad = (
  what: string,
  plugin: string,
  stdin: string | Buffer,
  code: Bad["code"],
  names: Bad["names"],
  env: Bad["env"] = {},
): Bad => ({ what, plugin, env, stdin, code, names });

/** A copy with a value at a path: `ipam.ranges[0][0].subnet`. */
export function withValue(config: Json, path: string, value: unknown): Json {
  const copy = structuredClone(config);
  const keys = path.split(/[.[\]]+/).filter(Boolean);
  let at: Json = copy;
  for (const [index, key] of keys.slice(0, -1).entries()) {
    at = (at[key] ??= /^\d+$/.test(keys[index + 1]!) ? [] : {}) as Json;
  }
  at[keys.at(-1)!] = value;
  return copy;
}

/** Wrong types and values at every key. */
export function wrongValues(base: Base): Bad[] {
  return (Object.keys(keys) as (keyof Base)[]).flatMap((plugin) =>
    Object.entries(keys[plugin]).flatMap(([path, kind]) =>
      isNot[kind]
        .filter((value) => !(value === "" && isAbsentWhenEmpty(path)))
        .map((value) =>
          bad(
            `${path} is ${JSON.stringify(value)}`,
            plugin,
            text(withValue(base[plugin], path, value)),
            7,
            path.replace(/\[\d+\]$/, ""),
          ),
        ),
    ),
  );
}

/** Empty words that mean "none", as in the reference. */
const isAbsentWhenEmpty = (path: string): boolean => path === "log.level";

/** Text that is no configuration. */
export function noJson(base: Base): Bad[] {
  const whole = text(base.bridge);
  const cuts = Array.from({ length: 40 }, (_, at) => whole.slice(0, Math.floor((whole.length * at) / 40)));
  const broken: [string, string | Buffer][] = [
    ["a list", "[]"],
    ["a number", "1"],
    ["text", '"x"'],
    ["true", "true"],
    ["something after", `${whole}x`],
    ["two documents", whole + whole],
    ["a comment", `//\n${whole}`],
    ["single quotes", "{'name':'net'}"],
    ["NaN", '{"name":"net","mtu":NaN}'],
    ["a trailing comma", `${whole.slice(0, -1)},}`],
    ["a bare key", '{name:"net"}'],
    ["NUL", "\0"],
    ["UTF-16", Buffer.from(whole, "utf16le")],
    ["hexadecimal", '{"mtu":0x10}'],
    ["a control character in text", '{"name":"a\nb"}'],
    ["a leading zero", '{"mtu":01}'],
    ["binary", Buffer.from(Array.from({ length: 256 }, (_, at) => at))],
    ["nesting that never ends", "[".repeat(200_000)],
    ["objects that never end", '{"a":'.repeat(100_000)],
    ["1 MB of spaces", " ".repeat(1 << 20)],
    ["1 MB of text", `"${"x".repeat(1 << 20)}"`],
    ["a list nested deeply", "[".repeat(100_000) + "]".repeat(100_000)],
    ["YAML", "name: net\ntype: bridge\n"],
  ];
  return [
    ...cuts.map((cut) => bad(`cut after ${cut.length} bytes`, "bridge", cut, 6, "network config")),
    ...broken.map(([what, stdin]) => bad(what, "bridge", stdin, 6, "network config")),
    bad("null", "bridge", "null", 7, "network name"),
    bad("an empty object", "bridge", "{}", 7, "network name"),
  ];
}

const MEGABYTE = "x".repeat(1 << 20);
const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

/** Values that are too much: giant numbers, megabytes, deep nesting, thousands of elements. */
export function excess(base: Base): Bad[] {
  const { bridge, ptp, portmap } = base;
  const inPlace = (config: Json, path: string, raw: string): string =>
    text(withValue(config, path, "@@")).replace('"@@"', () => raw);
  const numbers = [
    "1e400",
    "-1e400",
    "1e308",
    "9007199254740993",
    "-9223372036854775809",
    "4294967296",
    "1e-7",
    "65536",
    "1e5",
  ];
  return [
    ...numbers.map((raw) => bad(`mtu is ${raw}`, "bridge", inPlace(bridge, "mtu", raw), 7, "mtu")),
    ...numbers.map((raw) =>
      bad(
        `hostPort is ${raw}`,
        "portmap",
        inPlace(portmap, "runtimeConfig.portMappings[0].hostPort", raw),
        7,
        "runtimeConfig.portMappings[0].hostPort",
      ),
    ),
    ...["bridge", "mtu", "ipam.ranges[0][0].subnet", "ipam.routes[0].gw", "dns", "args.cni.mac"].map((path) =>
      bad(`${path} is 1 MB long`, "bridge", text(withValue(bridge, path, MEGABYTE)), 7, path),
    ),
    bad("gatewayMode is 1 MB long", "ptp", text({ ...ptp, gatewayMode: MEGABYTE }), 7, "gatewayMode"),
    bad("name is 1 MB long", "bridge", text({ ...bridge, name: MEGABYTE }), [5, 7], /too long|name/),
    bad("cniVersion is 1 MB long", "bridge", text({ ...bridge, cniVersion: MEGABYTE }), 1, "incompatible CNI versions"),
    bad("ipam.type is 1 MB long", "bridge", text(withValue(bridge, "ipam.type", MEGABYTE)), 7, "ipam.type"),
    bad(
      "ipam.dataDir is 1 MB long",
      "bridge",
      text(withValue(bridge, "ipam.dataDir", `/run/${MEGABYTE}`)),
      [5, 7],
      /too long|dataDir/,
    ),
    bad(
      "ipam.resolvConf is 1 MB long",
      "bridge",
      text(withValue(bridge, "ipam.resolvConf", `/run/${MEGABYTE}`)),
      5,
      "ipam.resolvConf",
    ),
    ...["mtu", "dns", "ipam", "ipMasqBackend", "ipam.routes", "prevResult", "runtimeConfig"].map((path) =>
      bad(
        `${path} is nested deeply`,
        "bridge",
        inPlace(bridge, path, nested(5_000)),
        path === "prevResult" ? [7] : [6, 7],
        new RegExp(`${path}|network config`),
      ),
    ),
    bad(
      "100,000 wrong name servers",
      "bridge",
      text({ ...bridge, dns: { nameservers: Array.from({ length: 100_000 }, () => 1) } }),
      7,
      "dns.nameservers[0]",
    ),
    bad(
      "20,000 ranges that overlap",
      "bridge",
      text(withValue(bridge, "ipam.ranges", [Array.from({ length: 20_000 }, () => ({ subnet: "10.9.0.0/24" }))])),
      7,
      "ipam",
    ),
    bad(
      "20,000 range sets that overlap",
      "bridge",
      text(
        withValue(
          bridge,
          "ipam.ranges",
          Array.from({ length: 20_000 }, () => [{ subnet: "10.9.0.0/24" }]),
        ),
      ),
      7,
      "ipam",
    ),
    bad(
      "20,000 routes, the last one wrong",
      "bridge",
      text(
        withValue(bridge, "ipam.routes", [
          ...Array.from({ length: 20_000 }, () => ({ dst: "10.50.0.0/16" })),
          { dst: 1 },
        ]),
      ),
      7,
      "ipam.routes[20000].dst",
    ),
    bad(
      "20,000 addresses asked for",
      "bridge",
      text(
        withValue(
          bridge,
          "runtimeConfig.ips",
          Array.from({ length: 20_000 }, (_, at) => `10.77.${at >> 8}.${at & 255}`),
        ),
      ),
      7,
      "runtimeConfig.ips[0]",
    ),
    bad(
      "50,000 keys nobody knows, and one wrong",
      "bridge",
      text({ ...Object.fromEntries(Array.from({ length: 50_000 }, (_, at) => [`key${at}`, at])), ...bridge, mtu: "x" }),
      7,
      "mtu",
    ),
  ];
}

/** Keys that come twice, of which the last one counts, whatever its case. */
export function duplicates({ bridge, ptp }: Base): Bad[] {
  const twice = (config: Json, more: string): string => `${text(config).slice(0, -1)},${more}}`;
  return [
    bad("mtu twice", "bridge", twice(bridge, '"mtu":1500,"mtu":"x"'), 7, "mtu"),
    bad("mtu in two spellings", "bridge", twice(bridge, '"mtu":1500,"MTU":"x"'), 7, "mtu"),
    bad("name twice", "bridge", twice(bridge, '"name":"../x"'), 7, "network name"),
    bad("name in two spellings", "bridge", twice(bridge, '"NAME":"../x"'), 7, "network name"),
    bad("cniVersion in two spellings", "ptp", twice(ptp, '"CNIVERSION":"9.9.9"'), 1, "incompatible CNI versions"),
    bad("ipam twice", "ptp", twice(ptp, '"ipam":{"type":"../x"}'), 7, "ipam.type"),
    bad("ipam in two spellings", "ptp", twice(ptp, '"IPAM":{"TYPE":"../x"}'), 7, "ipam.type"),
  ];
}
