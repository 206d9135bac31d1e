import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attach, bridge, complaint, dualStack, hostLocal } from "../executable/configs.ts";
import { Node, podwireFolder, reference, temporaryFolder, type Namespace } from "../executable/harness.ts";

/** Cycles of ADD and DEL on one node, one after the other; beside them, on another node, those of host-local alone. */
const BRIDGE_CYCLES = 5_000;
const LEASE_CYCLES = 2_000;
/** Other programs' memory comes and goes meanwhile; what each cycle leaves is there in every round. */
const ROUNDS = 5;
/** What a cycle would leave at the least: half of what a link takes. */
const LEAST_KB = 5;
/** The kernel takes 20 ms to delete a veth, longer on a busy machine. */
const CYCLES_MS = 3_600_000;
const AT_ONCE = 300;

/** A shell that calls plugins as fast as it can, in a node's namespace; what failed goes to standard error. */
async function shell(node: Node, script: string, variables: Record<string, string>): Promise<void> {
  const { exitCode, stderr, stdout } = await node.run("sh", ["-c", script], {
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", CNI_IFNAME: "eth0", CNI_PATH: podwireFolder(), ...variables },
    timeoutMs: CYCLES_MS,
  });
  if (exitCode !== 0 || stderr !== "") {
    throw new Error(`exit ${exitCode}: ${stderr.slice(0, 2_000)} ${stdout.slice(-500)}`);
  }
}

function configFile(config: object): string {
  const file = join(temporaryFolder("load"), "config.json");
  writeFileSync(file, JSON.stringify(config));
  return file;
}

const call =
  'call() { out=$(CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=$3 CNI_IFNAME=$4 "$5" < "$CONFIG") || { echo "$1 $2: $out" >&2; return 1; }; };';

/** Memory of the kernel's own, which a leaked link, set element or socket would add to. */
const kernelMemory = (): number => Number(/SUnreclaim: +(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))![1]);

describe("one after the other", () => {
  test(
    `${BRIDGE_CYCLES} cycles of bridge and ${LEASE_CYCLES} of host-local leave the host as it was`,
    { timeout: CYCLES_MS },
    async () => {
      const [wired, leased] = await Promise.all([Node.create(), Node.create()]);
      const config = bridge(wired, { isDefaultGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(wired) });
      const live = await attach(wired, config);
      const pod = await wired.pod();
      const leases = { cniVersion: "1.1.0", name: "net", type: "host-local", ipam: dualStack(leased) };
      const cycle = 'call ADD c$i "$NETNS" eth0 "$PLUGIN" && call DEL c$i "$NETNS" eth0 "$PLUGIN" || exit 1';
      const loop = `${call} i=0; while [ $i -lt $COUNT ]; do i=$((i+1)); ${cycle}; done`;
      const cycles = (node: Node, plugin: string, count: number, it: object): Promise<void> =>
        shell(node, loop, {
          COUNT: `${count}`,
          NETNS: pod.path,
          PLUGIN: join(podwireFolder(), plugin),
          CONFIG: configFile(it),
        });
      await Promise.all([cycles(wired, "bridge", 20, config), cycles(leased, "host-local", 20, leases)]);
      const state = async (): Promise<object> => ({
        wired: await wired.snapshot(),
        rules: await wired.rulesetText(),
        pod: await pod.links(),
        files: stable(wired),
        leased: stable(leased),
      });
      const before = await state();
      const memory = [kernelMemory()];
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.all([
          cycles(wired, "bridge", BRIDGE_CYCLES / ROUNDS, config),
          cycles(leased, "host-local", LEASE_CYCLES / ROUNDS, leases),
        ]);
        memory.push(kernelMemory());
      }

      expect(await state()).toEqual(before);
      expect(await complaint(wired, live)).toBe("");
      const grown = memory.slice(1).map((after, round) => after - memory[round]!);
      console.log(
        `kernel memory, more after each ${(BRIDGE_CYCLES + LEASE_CYCLES) / ROUNDS} cycles: ${grown.join(", ")} kB`,
      );
      expect(Math.min(...grown)).toBeLessThan((BRIDGE_CYCLES / ROUNDS) * LEAST_KB);
    },
  );
});

/** Every file of the lease folder; where the next search begins moves on, and stamps are times. */
const stable = (node: Node): string[] =>
  Object.entries(node.leases({ all: true })).map(([path, content]) =>
    /last_reserved_ip|\.stamp$|\.census$/.test(path) ? path : `${path}: ${content}`,
  );

/**
 * Runs a verb for AT_ONCE containers, all processes started before the first is waited for; `plugin` says which
 * executable each one runs.
 */
const allAtOnce = (
  node: Node,
  verb: string,
  pods: Namespace[],
  { config, plugin }: { config: object; plugin: (i: number) => string },
): Promise<void> => {
  const lines = Array.from(
    { length: AT_ONCE },
    (_, i) => `call ${verb} c${i} ${pods[i % pods.length]!.path} eth${Math.floor(i / pods.length)} ${plugin(i)} &`,
  );
  return shell(node, `${call}\n${lines.join("\n")}\nwait`, { CONFIG: configFile(config) });
};

describe(`${AT_ONCE} at once`, () => {
  test("ADDs and then DELs of bridge: every pod has its own address and nothing is left", async () => {
    const node = await Node.create();
    const config = bridge(node, {
      isGateway: true,
      ipMasq: true,
      macspoofchk: true,
      ipam: hostLocal(node, { subnet: "10.9.0.0/16" }),
    });
    const live = await attach(node, config);
    const pods = await Promise.all(Array.from({ length: 10 }, async () => node.pod()));
    const before = await node.snapshot();
    const plugin = (): string => join(podwireFolder(), "bridge");

    await allAtOnce(node, "ADD", pods, { config, plugin });
    const holders = Object.values(node.leases());
    expect(new Set(holders).size).toBe(AT_ONCE + 1);
    expect(holders).toHaveLength(AT_ONCE + 1);
    const addresses = (
      await Promise.all(
        pods.map(async (pod) =>
          (await pod.links()).flatMap(({ addr_info }) => addr_info.filter(({ family }) => family === "inet")),
        ),
      )
    ).flat();
    expect(new Set(addresses.map(({ local }) => local)).size).toBe(AT_ONCE);

    await allAtOnce(node, "DEL", pods, { config, plugin });
    expect(await node.snapshot()).toEqual(before);
    expect(await complaint(node, live)).toBe("");
  });

  test("ADDs of host-local, half of them by the reference on the same folder; each releases what the other leased", async () => {
    const node = await Node.create();
    const config = {
      cniVersion: "1.0.0",
      name: "net",
      type: "host-local",
      ipam: hostLocal(node, { subnet: "10.9.0.0/16" }),
    };
    const pods = [await node.pod()];
    const folders = [podwireFolder(), reference.folder];
    await allAtOnce(node, "ADD", pods, { config, plugin: (i) => join(folders[i % 2]!, "host-local") });
    const leases = node.leases();
    expect(Object.keys(leases)).toHaveLength(AT_ONCE);
    expect(new Set(Object.values(leases)).size).toBe(AT_ONCE);
    await allAtOnce(node, "DEL", pods, { config, plugin: (i) => join(folders[(i + 1) % 2]!, "host-local") });
    expect(node.leases()).toEqual({});
  });
});
