import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attach, bridge, ptp, hostLocal } from "../executable/configs.ts";
import { Node, type Namespace, podwireFolder } from "../executable/harness.ts";
import { type Bad, duplicates, excess, noJson, wrongValues } from "./corpus.ts";
import { hostileNames, wrongEnvironment } from "./surrounding-input.ts";

/** Processor time a refusal may take at most, which ends it: it is milliseconds, and as many on a busy machine. */
const BOUND_S = 5;
/** Whatever waits ends then. */
const DEADLINE_MS = 300_000;

let node: Node;
let pod: Namespace;
let before: object;
let tried = 0;
let slowest = 0;

beforeAll(async () => {
  node = await Node.create();
  pod = await node.pod();
  await attach(node, bridge(node, { isDefaultGateway: true, ipMasq: true }), { containerId: "lives" });
  await attach(node, { ...ptp(node), name: "routed", ipam: hostLocal(node, { subnet: "10.10.0.0/24" }) } as never, {
    containerId: "lives-too",
  });
  before = await stateOfNode();
});
afterAll(() => console.log(`inputs tried: ${tried}; the slowest answer took ${Math.round(slowest)} ms`));

/** All but where the next search begins, and podwire's census of leases, which any call may take again. */
const stateOfNode = async (): Promise<object> => {
  const files = Object.entries(node.leases({ all: true })).filter(
    ([path]) => !/last_reserved_ip|\.census$|\.stamp$/.test(path),
  );
  return { host: await node.snapshot(), pod: await pod.links(), files };
};

/** Sound configurations the corpus spoils. */
const base = () => {
  const ipam = { type: "host-local", dataDir: node.dataDir, ranges: [[{ subnet: "10.9.0.0/24" }]] };
  const common = { cniVersion: "1.1.0", name: "net" };
  const prevResult = {
    cniVersion: "1.1.0",
    interfaces: [{ name: "eth0", sandbox: pod.path }],
    ips: [{ address: "10.9.0.9/24", interface: 0 }],
  };
  return {
    bridge: { ...common, type: "bridge", bridge: "br0", isDefaultGateway: true, ipam },
    ptp: { ...common, type: "ptp", ipam },
    "host-local": { ...common, type: "host-local", ipam },
    portmap: {
      ...common,
      type: "portmap",
      runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] },
      prevResult,
    },
  };
};

/**
 * Starts podwire at once in the node's namespace: thousands of runs are a matter of seconds only without a promise for
 * each.
 */
function run({ plugin, env, stdin }: Pick<Bad, "plugin" | "env" | "stdin">, command = "ADD") {
  const sound = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: "wrong",
    CNI_NETNS: pod.path,
    CNI_IFNAME: "eth0",
    CNI_PATH: podwireFolder(),
    PATH: "/usr/bin:/bin",
  };
  const started = performance.now();
  const bounded = ["prlimit", `--cpu=${BOUND_S}`, join(podwireFolder(), plugin)];
  const { status, signal, stdout } = spawnSync("nsenter", [`--net=${node.path}`, "--", ...bounded], {
    env: { ...sound, ...env },
    input: stdin,
    maxBuffer: 1 << 26,
    timeout: DEADLINE_MS,
    killSignal: "SIGKILL",
  });
  tried += 1;
  slowest = Math.max(slowest, performance.now() - started);
  return { status, signal, stdout: stdout.toString() };
}

/** What is wrong with the refusal of a bad input, "" when nothing is. */
function judge(bad: Bad): string {
  const { status, signal, stdout } = run(bad);
  const complain = (why: string): string => `${bad.plugin}: ${bad.what}: ${why}: ${stdout.slice(0, 400)}`;
  if (status !== 1) return complain(`exit ${status ?? signal}`);
  let answer: { cniVersion?: string; code?: number; msg?: string; details?: string };
  try {
    answer = JSON.parse(stdout) as typeof answer;
  } catch {
    return complain("no JSON");
  }
  const { code, msg = "", details = "", cniVersion } = answer;
  if (![bad.code].flat().includes(code!)) return complain(`code ${code}, not ${bad.code}`);
  if (!cniVersion || stdout.length > 20_000) return complain(`${stdout.length} bytes`);
  const said = `${msg} ${details}`;
  return (typeof bad.names === "string" ? said.includes(bad.names) : bad.names.test(said))
    ? ""
    : complain(`does not name ${bad.names}`);
}

async function judgeAll(corpus: Bad[]): Promise<string> {
  const complaints = corpus.map(judge).filter(Boolean);
  const after = await stateOfNode();
  if (JSON.stringify(after) !== JSON.stringify(before)) {
    complaints.push("something was changed");
    expect(after).toEqual(before);
  }
  return complaints.join("\n");
}

describe("bad input gets an error of the right code that names the key, changes nothing and takes bounded time", () => {
  const kinds: [string, () => Bad[]][] = [
    ["text that is no configuration", () => noJson(base())],
    ["a wrong type or value at every key", () => wrongValues(base())],
    ["too much of anything", () => excess(base())],
    ["hostile names", () => hostileNames(base())],
    ["keys that come twice", () => duplicates(base())],
    ["a wrong environment", () => wrongEnvironment(base(), node.path)],
  ];
  test.each(kinds)("%s", async (_kind, corpus) => expect(await judgeAll(corpus())).toBe(""));

  test("DEL and GC go on with configurations ADD refuses, and leave live pods alone", async () => {
    const sample = wrongValues(base()).filter((_bad, at) => at % 4 === 0);
    const complaints = [...sample, ...excess(base())].flatMap((bad) => {
      const config =
        typeof bad.stdin === "string"
          ? bad.stdin.replace(
              /}$/,
              ',"cni.dev/valid-attachments":[{"containerID":"lives","ifname":"eth0"},{"containerID":"lives-too","ifname":"eth0"}]}',
            )
          : bad.stdin;
      return ["DEL", "GC"].flatMap((verb) => {
        const { status, signal, stdout } = run({ ...bad, stdin: config }, verb);
        const code = status === 1 ? (JSON.parse(stdout) as { code: number }).code : undefined;
        return status === 0 || (status === 1 && [1, 5, 6, 7].includes(code!))
          ? []
          : [`${verb} of ${bad.plugin}: ${bad.what}: exit ${status ?? signal}: ${stdout.slice(0, 400)}`];
      });
    });
    expect(complaints.join("\n")).toBe("");
    expect(await stateOfNode()).toEqual(before);
  });
});
