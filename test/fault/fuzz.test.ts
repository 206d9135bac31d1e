import { spawnSync } from "node:child_process";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { dualStack } from "../executable/configs.ts";
import { Node, podwireFolder } from "../executable/harness.ts";
import { withValue } from "./corpus.ts";

/**
 * FUZZ_SEED repeats a run, FUZZ_SECONDS makes a longer one. Continuous integration tries the same inputs every time: what
 * fails there is to be a change's doing.
 */
const seed = Number(process.env.FUZZ_SEED ?? (process.env.CI ? 1 : Date.now() % 2 ** 31));
const seconds = Number(process.env.FUZZ_SECONDS ?? 20);
/** Processor time one input may take, which ends it; and what ends one that waits. */
const [BOUND_S, DEADLINE_MS] = [5, 120_000];
/** Codes of the specification podwire uses, and the library's. */
const codes = [1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 999];

const paths = [
  "bridge",
  "isGateway",
  "isDefaultGateway",
  "forceAddress",
  "ipMasq",
  "ipMasqBackend",
  "mtu",
  "hairpinMode",
  "promiscMode",
  "vlan",
  "vlanTrunk",
  "vlanTrunk[0].id",
  "preserveDefaultVlan",
  "macspoofchk",
  "enabledad",
  "disableContainerInterface",
  "portIsolation",
  "gatewayMode",
  "dns",
  "dns.nameservers",
  "dns.search",
  "args",
  "args.cni.mac",
  "args.cni.ips",
  "runtimeConfig",
  "runtimeConfig.mac",
  "runtimeConfig.ips",
  "runtimeConfig.ipRanges",
  "runtimeConfig.portMappings",
  "runtimeConfig.portMappings[0]",
  "runtimeConfig.portMappings[0].hostPort",
  "backend",
  "snat",
  "masqAll",
  "markMasqBit",
  "externalSetMarkChain",
  "conditionsV4",
  "ipam",
  "ipam.type",
  "ipam.ranges",
  "ipam.ranges[0]",
  "ipam.ranges[0][0].subnet",
  "ipam.ranges[0][0].rangeStart",
  "ipam.ranges[0][0].gateway",
  "ipam.routes",
  "ipam.routes[0].dst",
  "ipam.routes[0].gw",
  "ipam.routes[0].mtu",
  "name",
  "type",
  "cniVersion",
  "prevResult",
  "prevResult.ips",
  "prevResult.interfaces",
  "cni.dev/valid-attachments",
  "__proto__",
  "constructor",
  "log.level",
];
const words = [
  "",
  "x",
  "br0",
  "lo",
  "10.9.0.5",
  "10.9.0.0/24",
  "fd00:9::/64",
  "0.0.0.0/0",
  "::",
  "169.254.1.1",
  "eth0",
  "host-local",
  "static",
  "nftables",
  "iptables",
  "link-local",
  "0a:58:0a:09:00:05",
  "1.1.0",
  "0.2.0",
  "../x",
  "a\0b",
  "__proto__",
  "\u202e",
  "%d",
  "tcp",
  "UDP",
  "-m x",
];
const value = fc.oneof(
  fc.constantFrom<unknown>(...words, true, false, null, 0, 1, -1, 1.5, 80, 1500, 65536, 4095, 1e300, 2 ** 53, [], {}),
  fc.array(
    fc.constantFrom<unknown>(
      ...words,
      1,
      null,
      {},
      [],
      { dst: "10.8.0.0/16" },
      { subnet: "10.7.0.0/24" },
      { hostPort: 80, containerPort: 80, protocol: "tcp" },
    ),
    { maxLength: 4 },
  ),
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: "binary", maxLength: 40 }),
);
const edits = fc.array(fc.tuple(fc.constantFrom(...paths), value), { maxLength: 4 });
/** Damage to the text: at a place (0 to 1 of its length), what is put there in the place of how many characters. */
const damage = fc.option(
  fc.tuple(
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.constantFrom("", "{", "}", "[", "]", ",", ":", '"', "\\", "\0", "e9", "\ud800", "null"),
    fc.nat(6),
  ),
  { freq: 4 },
);
const word = (good: string) =>
  fc.oneof(
    { weight: 9, arbitrary: fc.constant(good) },
    fc.constantFrom(...words.filter((text) => !text.includes("\0")), "a".repeat(300)),
  );
const input = fc.record({
  plugin: fc.constantFrom("bridge", "ptp", "host-local", "portmap", "firewall", "flannel", "loopback", "podwire"),
  verb: fc.oneof(
    { weight: 6, arbitrary: fc.constant("ADD") },
    fc.constantFrom("DEL", "CHECK", "GC", "STATUS", "VERSION", "add", ""),
  ),
  edits,
  damage,
  containerId: word("fuzzed"),
  ifname: word("eth0"),
  args: fc.oneof(
    { weight: 5, arbitrary: fc.constant("") },
    fc.constantFrom("IP=10.9.0.7", "IP=x", "MAC=0a:58:0a:09:00:05", "x", ";;", "IgnoreUnknown=1;A=b", "="),
  ),
});

/**
 * The text of a configuration, or undefined where it would lead outside of the node: leases, logs and files stay in its
 * folder.
 */
function textOf(
  config: Record<string, unknown>,
  changes: [string, unknown][],
  spoil: [number, string, number] | null,
): string | undefined {
  let edited = config;
  for (const [path, to] of changes) {
    try {
      edited = withValue(edited, path, to);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // an earlier edit put no object there
    }
  }
  const text = JSON.stringify(edited);
  const at = spoil ? Math.floor(spoil[0] * text.length) : 0;
  const spoiled = spoil ? text.slice(0, at) + spoil[1] + text.slice(at + spoil[2]) : text;
  const folders = spoiled.match(/\/run\/podwire-test\/[\w-]*/g) ?? [];
  const { dataDir } = config.ipam as { dataDir: string };
  const outside = /"(log|dataDir|resolvConf|file)"/i.test(spoiled.replaceAll(`"dataDir":"${dataDir}"`, ""));
  return outside || folders.some((folder) => folder !== dataDir) ? undefined : spoiled;
}

test(
  `whatever it is told, podwire answers with a result or an error of the specification (seed ${seed}, ${seconds} s)`,
  { timeout: (seconds + 300) * 1000 },
  async () => {
    console.log(`FUZZ_SEED=${seed}`);
    const node = await Node.create();
    const pod = await node.pod();
    const folder = podwireFolder();
    let runs = 0;
    let added = 0;
    const run = (plugin: string, env: Record<string, string>, stdin: string) =>
      spawnSync("nsenter", [`--net=${node.path}`, "--", "prlimit", `--cpu=${BOUND_S}`, join(folder, plugin)], {
        env: { CNI_NETNS: pod.path, CNI_PATH: folder, PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...env },
        input: stdin,
        timeout: DEADLINE_MS,
        killSignal: "SIGKILL",
        encoding: "utf8",
      });

    const property = fc.property(
      input,
      ({ plugin, verb, edits: changes, damage: spoil, containerId, ifname, args }) => {
        const config = {
          cniVersion: "1.1.0",
          name: "net",
          type: plugin === "podwire" ? "bridge" : plugin,
          ipam: dualStack(node) as object,
        };
        const stdin = textOf(config, changes, spoil);
        fc.pre(stdin !== undefined);
        const env = {
          ...(verb && { CNI_COMMAND: verb }),
          CNI_CONTAINERID: containerId,
          CNI_IFNAME: ifname,
          CNI_ARGS: args,
        };
        const { status, signal, stdout } = run(plugin, env, stdin!);
        runs += 1;
        expect(signal).toBeNull();
        expect([0, 1]).toContain(status);
        if (verb === "") return; // for people
        if (status === 0) {
          if (verb === "ADD" || verb === "VERSION") JSON.parse(stdout);
          else expect(stdout).toBe("");
          if (verb !== "ADD") return;
          added += 1;
          expect(run(plugin, { ...env, CNI_COMMAND: "DEL" }, stdin!).stdout).toBe("");
          return;
        }
        const { code, msg } = JSON.parse(stdout) as { code: number; msg: string };
        expect(codes).toContain(code);
        expect(msg).not.toMatch(/^internal error|undefined|\[object/);
        expect(msg.length).toBeGreaterThan(5);
      },
    );
    fc.assert(property, { seed, numRuns: 1_000_000, interruptAfterTimeLimit: seconds * 1000, endOnFailure: true });

    console.log(`${runs} inputs, ${added} of them wired a pod`);
    expect(runs).toBeGreaterThan(10);
    expect(
      (await node.links()).filter(({ linkinfo }) => linkinfo?.info_kind === "veth" && !linkinfo.info_slave_kind),
    ).toEqual([]);
    expect(Object.values(node.leases())).toEqual([]);
  },
);
