import { expect, test } from "vitest";
import {
  type Attached,
  bridge,
  callFor,
  complaint,
  type Config,
  describeAttached,
  dualStack,
  hostLocal,
  macvlan,
  ptp,
} from "../executable/configs.ts";
import { executable, Node } from "../executable/harness.ts";
import { tcp } from "../executable/ports.ts";

// Everything at once, in an order of chance: of several networks ADDs, DELs, GCs whose lists are old, twice the same
// container, commands for people.

const AT_ONCE = 12;
const PODS = 8;

const networks = (node: Node): Config[] => [
  bridge(node, { name: "b", isGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(node) }),
  bridge(node, { name: "i", bridge: "br1", ipMasq: true, ipMasqBackend: "iptables", ipam: subnet(node, 8) }),
  ptp(node, { name: "p", ipMasq: true, ipam: subnet(node, 7) }),
  macvlan(node, { name: "m", ipam: subnet(node, 6) }),
];
const subnet = (node: Node, n: number): object => hostLocal(node, { subnet: `10.${n}.0.0/24` });

interface Pod {
  call: Attached["call"];
  /** somebody is at it: a runtime does one thing with a container at a time */
  last: Promise<void>;
  made?: Attached | undefined;
  isWanted: boolean;
}

const shuffled = <T>(all: readonly T[]): T[] =>
  all
    .map((one) => [Math.random(), one] as const)
    .toSorted(([a], [b]) => a - b)
    .map(([, one]) => one);

test("ADD, DEL, GC, repair and gc of four networks at once: right codes, nothing given twice, nothing left", async () => {
  const node = await Node.create();
  await node.outside();
  const configs = networks(node);
  const withPorts = (config: Config, at: number): Config =>
    "bp".includes(config.name as string)
      ? { ...config, capabilities: { portMappings: true }, runtimeConfig: { portMappings: [tcp(8000 + at, 80)] } }
      : config;
  const pods: Pod[] = [];
  for (const [n, config] of configs.entries()) {
    for (let at = 0; at < PODS; at++) {
      const call = await callFor(node, withPorts(config, n * PODS + at));
      pods.push({ call, last: Promise.resolve(), isWanted: false });
    }
  }
  for (const { call } of pods.filter((_, at) => at % PODS === 0)) {
    await node.succeed("ADD", call); // what is shared is there
    await node.succeed("DEL", call);
  }
  /** all but chains of a subnet, which GC drops where nothing leads to them */
  const state = async () => ({
    ...(await node.snapshot()),
    ruleset: (await node.rulesetText()).split("\n").filter((line) => /container-|CNI-[0-9a-f]{24}/.test(line)),
  });
  const before = await state();
  const answer = async (verb: "ADD" | "DEL" | "GC", call: Attached["call"]) => {
    const { exitCode, error, result } = await node.podwire(verb, call);
    // one that is there already, or a DEL or GC that came meanwhile
    if (exitCode !== 0) expect([4, 11]).toContain(error?.code);
    return result;
  };
  const inTurn = (pod: Pod, work: () => Promise<void>) => async (): Promise<void> => {
    pod.last = pod.last.then(work);
    return pod.last;
  };
  const add = (pod: Pod) =>
    inTurn(pod, async () => {
      pod.isWanted = true;
      const result = await answer("ADD", pod.call);
      if (result) pod.made = describeAttached(pod.call, result);
    });
  const del = (pod: Pod) =>
    inTurn(pod, async () => {
      pod.isWanted = false;
      pod.made = undefined;
      await node.succeed("DEL", pod.call);
    });
  const together = (pod: Pod) =>
    inTurn(pod, async () => {
      const verbs = shuffled(["ADD", "ADD", "DEL"] as const);
      await Promise.all(verbs.map(async (verb) => answer(verb, pod.call)));
      await node.succeed("DEL", pod.call);
      pod.isWanted = false;
      pod.made = undefined;
    });
  const gc = (config: Config) => async (): Promise<void> => {
    const valid = pods.filter(({ call, isWanted }) => isWanted && call.config.name === config.name);
    const list = valid.map(({ call }) => ({ containerID: call.containerId, ifname: "eth0" }));
    await answer("GC", {
      ...pods[0]!.call,
      plugin: config.type,
      config: { ...config, "cni.dev/valid-attachments": list },
    });
  };
  const command = (name: string) => async (): Promise<void> => {
    const line = [name, "--data-dir", node.dataDir, "--conf-dir", "/nowhere"];
    expect((await node.run(executable, line, { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } })).stderr).toBe("");
  };
  const work = shuffled([
    ...pods.flatMap((pod) => [add(pod), del(pod), add(pod)]),
    ...shuffled(pods).slice(0, PODS).map(together),
    ...configs.filter(({ type }) => type !== "macvlan").flatMap((config) => [gc(config), gc(config), gc(config)]),
    ...["gc", "repair", "leases", "gc"].map(command),
  ]);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let next = work.pop(); next; next = work.pop()) await next();
    }),
  );

  const made = pods.flatMap((pod) => pod.made ?? []);
  const addresses = made.flatMap(({ ip4, ip6 }) => [ip4, ip6]).filter(Boolean);
  expect(new Set(addresses).size).toBe(addresses.length);
  // a GC whose list is older than an ADD may take a whole attachment, but no part of one
  const said = await Promise.all(made.map(async (attached) => complaint(node, attached)));
  expect(
    said.filter((words) => words !== "" && !/link \S+ does not exist|failed to find an address/.test(words)),
  ).toEqual([]);
  for (const [at, attached] of made.entries()) {
    const isThere = (await attached.pod.link("eth0")) !== undefined;
    expect([attached.call.containerId, isThere, said[at]]).toEqual([
      attached.call.containerId,
      said[at] === "",
      said[at],
    ]);
  }
  await Promise.all(pods.map(async ({ call }) => node.succeed("DEL", call)));
  expect(await state()).toEqual(before);
});
