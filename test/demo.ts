// `make demo`: two pods on one node, wired, used, checked and removed before your eyes, in private namespaces.
import { loadConf, runList, type NetworkList } from "./harness/chain.ts";
import type { Answer, CniResult } from "./harness/invoke.ts";
import type { Namespace } from "./harness/namespace.ts";
import { Node } from "./harness/node.ts";

const say = (text = ""): void => console.log(text);
const indent = (text: string): string => text.trimEnd().replace(/^/gm, "    ");
let failures = 0;

/** Prints one line with the outcome of something that ought to be true. */
function report(what: string, good: boolean): void {
  if (!good) failures += 1;
  say(`  ${good ? "ok  " : "FAIL"}  ${what}`);
}

const list: NetworkList = loadConf("bridge-dual-stack.json");
const node = await Node.create();
const outside = await node.outside();
const pods = [
  { containerId: "blue", netns: await node.pod() },
  { containerId: "green", netns: await node.pod() },
];
const run = async (verb: Parameters<Node["podwire"]>[0], call: Parameters<Node["podwire"]>[1]) =>
  node.podwire(verb, call);

say(
  `A node, a machine outside (${outside.address4}, ${outside.address6}) and two pods; the configuration is conf/bridge-dual-stack.json.`,
);
say("\nADD: what a container runtime does when a pod starts. The answers:");
const before = await node.links();
const answers: Answer[] = [];
for (const pod of pods) {
  const answer = await runList(run, "ADD", list, pod);
  answers.push(answer);
  report(`ADD ${pod.containerId}, ${answer.durationMs.toFixed(1)} ms`, answer.exitCode === 0);
  say(indent(answer.stdout));
}

const addresses = (answer: Answer | undefined): string[] =>
  (answer?.result?.ips ?? []).map(({ address }) => address.replace(/\/.*/, ""));
const [blue, green] = pods as [(typeof pods)[0], (typeof pods)[0]];

/** Pings, and reports it with the line of ping's output that tells the time. */
async function ping(from: Namespace, address: string, what: string): Promise<void> {
  const { exitCode, stdout } = await from.run("ping", ["-n", "-c", "1", "-w", "2", address]);
  report(`${what}: ${/icmp_seq.*/.exec(stdout)?.[0] ?? "no answer"}`, exitCode === 0);
}

say("\nWhat the kernel shows in pod blue:");
say(indent(await blue.netns.must("ip", "-brief", "address")));
say(indent(await blue.netns.must("ip", "route")));
say(indent(await blue.netns.must("ip", "-6", "route", "show", "default")));

say("\nPackets:");
for (const address of addresses(answers[1])) await ping(blue.netns, address, `blue to green, ${address}`);
for (const address of [outside.address4, outside.address6]) {
  await ping(green.netns, address, `green to outside, ${address}`);
}
await outside.listen(80, { name: "outside" });
const { from } = await green.netns.connect(outside.address4, 80);
report(
  `green connects to the machine outside, which sees ${from}: the node's address, by masquerade`,
  from === outside.node4,
);

say("\nCHECK: is everything still as the results say?");
for (const [index, pod] of pods.entries()) {
  const check = await runList(run, "CHECK", list, { ...pod, result: answers[index]?.result as CniResult });
  report(`CHECK ${pod.containerId}, ${check.durationMs.toFixed(1)} ms`, check.exitCode === 0);
}
await green.netns.ip("route del default");
const broken = await runList(run, "CHECK", list, { ...green, result: answers[1]?.result as CniResult });
report(
  `with green's default route deleted by hand, CHECK says: ${broken.error?.msg ?? "nothing"}`,
  broken.exitCode !== 0,
);

const names = new Set(before.map(({ ifname }) => ifname));
const bridge = String(list.plugins[0]?.bridge);

/** What belongs to pods on the node now: links, leases and elements of the firewall's sets and maps. */
async function belongings(): Promise<Record<string, unknown[]>> {
  const links = (await node.links()).map(({ ifname }) => ifname).filter((name) => !names.has(name) && name !== bridge);
  const leases = Object.keys(node.leases({ folder: `/var/lib/cni/networks/${list.name}` }));
  const elements = (await node.ruleset()).flatMap(
    (entry) => ((entry.map ?? entry.set) as { elem?: unknown[] } | undefined)?.elem ?? [],
  );
  return { links, leases, "firewall elements": elements };
}

const used = await belongings();
say("\nDEL: the pods stop.");
for (const [index, pod] of pods.entries()) {
  const gone = await runList(run, "DEL", list, { ...pod, result: answers[index]?.result as CniResult });
  report(`DEL ${pod.containerId}, ${gone.durationMs.toFixed(1)} ms`, gone.exitCode === 0);
}

say("\nWhat is left of the pods:");
const left = await belongings();
for (const [what, each] of Object.entries(left)) {
  report(
    `${what}: ${each.length === 0 ? "none" : JSON.stringify(each)}, of ${used[what]?.length}`,
    each.length === 0 && used[what]!.length > 0,
  );
}
const clean = Object.values(left).flat().length === 0;
say(
  `\nLeft: ${clean ? `nothing (the bridge ${bridge} and podwire's empty nft table stay, as they are shared, for the next pod)` : "see above"}.`,
);

await node.remove();
process.exitCode = failures === 0 ? 0 : 1;
