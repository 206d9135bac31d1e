import { bad, type Bad, text, withValue } from "./corpus.ts";
import { type Base } from "./corpus-keys.ts";

// What comes to podwire from outside a configuration: names, variables, arguments.

const traversals = [
  "../x",
  "..",
  ".",
  "a/b",
  "/etc/passwd",
  "../../../../tmp/x",
  "a\u0000b",
  "a b",
  "a\nb",
  "a\tb",
  "\u202ea",
  "a\u200b",
  "ä",
  "-a",
  "_a",
  ".a",
  "a:b",
  "a%00b",
  "%2e%2e",
  "a;b",
  "$(id)",
  "`id`",
  "a'b",
  'a"b',
  "a\\b",
];

/** Names that would become paths, options, patterns or properties. */
export function hostileNames(base: Base): Bad[] {
  const { bridge, ptp } = base;
  const own = base["host-local"];
  const inEnvironment = traversals.filter((name) => !name.includes("\0"));
  return [
    ...traversals.map((name) =>
      bad(`name is ${JSON.stringify(name)}`, "host-local", text({ ...own, name }), 7, "network name"),
    ),
    ...inEnvironment.map((id) =>
      bad(`CNI_CONTAINERID is ${JSON.stringify(id)}`, "host-local", text(own), 4, "CNI_CONTAINERID", {
        CNI_CONTAINERID: id,
      }),
    ),
    ...[
      "../x",
      "..",
      ".",
      "a/b",
      "a:b",
      "a b",
      "a\tb",
      "a\nb",
      "a\u00a0b",
      "a\u3000b",
      "sixteen-bytes-xx",
      "ääääääää",
      "eth%d",
    ].map((ifname) =>
      bad(`CNI_IFNAME is ${JSON.stringify(ifname)}`, "bridge", text(bridge), 4, "CNI_IFNAME", { CNI_IFNAME: ifname }),
    ),
    ...[
      "../../bin/sh",
      "/bin/sh",
      "..",
      ".",
      "a/../b",
      "sh\u0000",
      "nowhere",
      "__proto__",
      "constructor",
      "toString",
    ].map((type) =>
      bad(`ipam.type is ${JSON.stringify(type)}`, "bridge", text(withValue(bridge, "ipam.type", type)), 7, "ipam.type"),
    ),
    ...["__proto__", "constructor", "toString", "hasOwnProperty", "../bridge", "nowhere"].map((type) =>
      bad(`type is ${JSON.stringify(type)}`, "podwire", text({ ...own, type }), 7, "type"),
    ),
    ...["__proto__", "constructor", "1.1", "1.0.5", "2.0.0", " 1.1.0", "1.1.0\n", "v1.1.0", "x"].map((cniVersion) =>
      bad(
        `cniVersion is ${JSON.stringify(cniVersion)}`,
        "ptp",
        text({ ...ptp, cniVersion }),
        1,
        "incompatible CNI versions",
      ),
    ),
    bad("__proto__ holds the name", "bridge", '{"__proto__":{"name":"net"},"cniVersion":"1.1.0"}', 7, "network name"),
    bad(
      "constructor holds the name",
      "bridge",
      '{"constructor":{"prototype":{"name":"net"}},"cniVersion":"1.1.0"}',
      7,
      "network name",
    ),
    bad(
      "__proto__ of ipam holds the type",
      "ptp",
      text(ptp).replace('"type":"host-local"', '"__proto__":{"type":"host-local"}'),
      7,
      "ipam.type",
    ),
    ...["/proc/nowhere", "/sys/x", "/dev/null", "/etc/hostname/x", "/run/a\u0000b"].map((dataDir) =>
      bad(
        `ipam.dataDir is ${JSON.stringify(dataDir)}`,
        "host-local",
        text(withValue(own, "ipam.dataDir", dataDir)),
        [5, 7],
        new RegExp(`${dataDir.split("\0")[0]}|ipam.dataDir`),
      ),
    ),
    ...["/nowhere", "/proc", "/run/a\u0000b", "relative/nowhere"].map((file) =>
      bad(
        `ipam.resolvConf is ${JSON.stringify(file)}`,
        "host-local",
        text(withValue(own, "ipam.resolvConf", file)),
        [5, 7],
        "ipam.resolvConf",
      ),
    ),
  ];
}

/** What a runtime may say wrong besides the configuration. */
export function wrongEnvironment(base: Base, own: string): Bad[] {
  const { bridge, ptp } = base;
  const config = text(bridge);
  const of = (what: string, env: Bad["env"], names: Bad["names"], code: Bad["code"] = 4): Bad =>
    bad(what, "bridge", config, code, names, env);
  return [
    ...["add", "ADDD", " ADD", "ADD ", "ADD\n", "__proto__", "constructor", "toString", "0", "ADD\u00a0"].map(
      (command) => of(`CNI_COMMAND is ${JSON.stringify(command)}`, { CNI_COMMAND: command }, "CNI_COMMAND"),
    ),
    ...["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"].flatMap((name) =>
      ["ADD", "CHECK", ...(name === "CNI_NETNS" ? [] : ["DEL"])].flatMap((verb) =>
        [undefined, ""].map((value) =>
          of(`${verb} with ${name} ${value === "" ? "empty" : "not set"}`, { CNI_COMMAND: verb, [name]: value }, name),
        ),
      ),
    ),
    of(
      "all of them missing",
      { CNI_CONTAINERID: "", CNI_NETNS: "", CNI_IFNAME: "" },
      /CNI_CONTAINERID.*CNI_NETNS.*CNI_IFNAME/,
    ),
    ...[
      "/run/netns/nowhere",
      "relative",
      "/etc/hostname",
      "/dev/null",
      "/proc",
      "/proc/self/ns/mnt",
      "/proc/self/ns/user",
      "/proc/self/ns",
      "/proc/999999/ns/net",
      "x".repeat(5_000),
      "/".repeat(4_000),
    ].map((netns) => of(`CNI_NETNS is ${netns.slice(0, 40)}`, { CNI_NETNS: netns }, "CNI_NETNS")),
    of("CNI_NETNS is podwire's own", { CNI_NETNS: own }, "CNI_NETNS", 8),
    of("CNI_NETNS is podwire's own, by /proc", { CNI_NETNS: "/proc/self/ns/net" }, "CNI_NETNS", 8),
    ...[
      "x",
      "a=b=c",
      ";",
      "IP=10.9.0.5;",
      "IP=x",
      "IP=10.9.0.300",
      "IP=10.77.0.1",
      "MAC=zz",
      "K8S_POD_NAME=x",
      "IgnoreUnknown=maybe",
      "=",
      "ip=10.9.0.5",
      "IP=10.9.0.1",
    ].map((args) => of(`CNI_ARGS is ${args}`, { CNI_ARGS: args }, /ARGS/)),
    of("CNI_CONTAINERID of 100 KB that is no name", { CNI_CONTAINERID: `${"x".repeat(100_000)}/` }, "CNI_CONTAINERID"),
    of("CNI_ARGS of 100 KB", { CNI_ARGS: "x=y;".repeat(25_000) }, "ARGS"),
    bad("no IPAM in ptp", "ptp", text({ ...ptp, ipam: undefined }), 7, "ipam.type"),
    bad("no ranges", "host-local", text({ ...base["host-local"], ipam: {} }), 7, "ipam"),
    bad("no ipam", "host-local", text({ ...base["host-local"], ipam: undefined }), 7, "ipam"),
    bad("a delegate without CNI_PATH", "bridge", text(withValue(bridge, "ipam.type", "whereabouts")), 4, "CNI_PATH", {
      CNI_PATH: undefined,
    }),
    bad("portmap without prevResult", "portmap", text({ ...base.portmap, prevResult: undefined }), 7, "prevResult"),
    bad("CHECK without prevResult", "bridge", config, 7, "prevResult", { CNI_COMMAND: "CHECK" }),
    bad("CHECK of an old version", "bridge", text({ ...bridge, cniVersion: "0.3.1" }), 1, "CHECK", {
      CNI_COMMAND: "CHECK",
    }),
    ...["GC", "STATUS"].map((verb) =>
      bad(`${verb} of an old version`, "bridge", text({ ...bridge, cniVersion: "1.0.0" }), 1, verb, {
        CNI_COMMAND: verb,
      }),
    ),
    ...[
      1,
      "x",
      {},
      [1],
      [{}],
      [{ containerID: "x" }],
      [{ ifname: "eth0" }],
      [{ containerID: 1, ifname: "eth0" }],
      [{ containerID: "", ifname: "" }],
    ].map((list) =>
      bad(
        `GC with the list ${JSON.stringify(list)}`,
        "bridge",
        text({ ...bridge, "cni.dev/valid-attachments": list }),
        7,
        "cni.dev/valid-attachments",
        { CNI_COMMAND: "GC" },
      ),
    ),
    ...[
      { ips: 1 },
      { ips: [1] },
      { ips: [{ address: "x" }] },
      { cniVersion: "0.4.0" },
      { interfaces: "x" },
      { interfaces: [{ name: 1 }] },
      { routes: [{ dst: "x" }] },
      { dns: [] },
      { cniVersion: "" },
    ].map((prevResult) =>
      bad(
        `CHECK with prevResult ${JSON.stringify(prevResult)}`,
        "bridge",
        text({ ...bridge, prevResult }),
        7,
        "prevResult",
        { CNI_COMMAND: "CHECK" },
      ),
    ),
  ];
}
