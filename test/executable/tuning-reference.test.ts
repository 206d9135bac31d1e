import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { after, podwire, theirs, wire, type Wired } from "./chained.ts";
import { versions } from "./configs.ts";
import { type Call, Node, reference, type Verb } from "./harness.ts";

// tuning beside the reference's: the same sequences, and pods that change over from one to the other.

const MAC = "02:00:00:00:00:99";
const config = (node: Node, more: object = {}) => ({
  type: "tuning",
  dataDir: `${node.dataDir}/tuning`,
  sysctl: { "net.core.somaxconn": "321", "net/ipv4/conf/IFNAME/arp_filter": "1" },
  mac: MAC,
  mtu: 1400,
  promisc: true,
  allmulti: true,
  txQLen: 7,
  ...more,
});

/** The pod's interface and a sysctl, and the five settings of each backup. */
async function look({ node, pod }: Wired): Promise<object> {
  const [link] =
    await pod.ipJson<{ address: string; mtu: number; txqlen?: number; flags: string[] }[]>("link show eth0");
  const { address, mtu, txqlen = 0, flags } = link!;
  const set = flags.filter((flag) => /PROMISC|ALLMULTI/.test(flag)).toSorted();
  const sysctls = [await pod.sysctl("net/core/somaxconn"), await pod.sysctl("net/ipv4/conf/eth0/arp_filter")];
  return { mac: address === MAC ? MAC : "its own", mtu, txqlen, set, sysctls, backups: backups(node) };
}

function backups(node: Node): unknown[] {
  const folder = `${node.dataDir}/tuning`;
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((name) => {
    const { mac, mtu, promisc, allmulti, txQLen } = JSON.parse(readFileSync(`${folder}/${name}`, "utf8")) as Record<
      string,
      unknown
    >;
    return [name, { mac: mac && "its own", mtu, promisc, allmulti, txQLen }];
  });
}

describe.runIf(reference.newest)("beside the reference", () => {
  test.each(versions)("the same results, settings and backups, %s", async (version) => {
    const transcripts = await Promise.all(
      [podwire, theirs].map(async (run) => {
        const node = await Node.create();
        const wired = await wire(node, { by: run, version });
        const steps: unknown[] = [];
        const step = async (verb: Verb, more: object, call: Partial<Call> = {}, prevResult: unknown = wired.result) => {
          const answer = await run(node, verb, { ...after(wired.call(config(node, more)), prevResult), ...call });
          const names = [wired.hostVeth, wired.pod.path].filter(Boolean);
          const text = names.reduce((whole, name) => whole.replaceAll(name, "NAME"), answer.stdout);
          const plain = text
            .replaceAll(/\s*"mtu": \d+,/g, "")
            .replaceAll(/"(?!02:00:00:00:00:99)(..:){5}.."/g, "MAC")
            .trim();
          // sysctls are put back by podwire alone
          const seen = { ...(await look(wired)), ...(verb === "DEL" && { sysctls: [] }) };
          steps.push(verb, answer.exitCode === 0 ? plain : "failed", seen);
          return answer.result;
        };
        const nothing = { sysctl: {}, mac: "", mtu: 0, promisc: false, allmulti: null, txQLen: null };
        await step("ADD", nothing);
        const result = await step("ADD", {});
        if (!/^0\.[123]/.test(version)) {
          await step("CHECK", {}, {}, result);
          await step("CHECK", { mtu: 1399 }, {}, result);
          await step("CHECK", { sysctl: { "net.core.somaxconn": "1" } }, {}, result);
        }
        await step("DEL", {});
        await step("DEL", {});
        for (const path of ["net/ipv4/conf/eth0/arp_filter", "net/core/somaxconn"]) await wired.pod.setSysctl(path, 1);
        const args = {
          args: { cni: { mac: MAC, mtu: 1300, promisc: false, sysctl: { "net.core.somaxconn": "5" } } },
          promisc: false,
        };
        await step("ADD", args, { args: "IgnoreUnknown=1;MAC=02:00:00:00:00:01" });
        await step("ADD", { sysctl: { "kernel.panic": "1" } });
        await step("ADD", { sysctl: { "net.core.nosuch": "1" } });
        await step("ADD", {}, { args: "K8S_POD_NAME=x" });
        return steps;
      }),
    );
    expect(transcripts[0]).toEqual(transcripts[1]);
  });

  test("a pod of the reference's is checked and put back by podwire", async () => {
    const node = await Node.create();
    const wired = await wire(node, { by: theirs });
    const before = await look(wired);
    const plain = config(node, { sysctl: {} });
    const { result } = await theirs(node, "ADD", wired.call(plain));
    const call = after(wired.call(plain), result);
    expect((await node.podwire("CHECK", call)).stdout).toBe("");
    await node.succeed("DEL", call);
    expect(await look(wired)).toEqual(before);
  });

  test("a pod of podwire's is checked and put back by the reference", async () => {
    const node = await Node.create();
    const wired = await wire(node);
    const before = await look(wired);
    const plain = config(node, { sysctl: {} });
    const { result } = await node.succeed("ADD", wired.call(plain));
    const call = after(wired.call(plain), result);
    expect(await theirs(node, "CHECK", call)).toMatchObject({ exitCode: 0 });
    expect(await theirs(node, "DEL", call)).toMatchObject({ exitCode: 0 });
    expect(await look(wired)).toEqual(before);
  });
});
