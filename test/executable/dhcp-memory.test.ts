import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { DhcpScene, type Process } from "./dhcp.ts";

/** For longer: `DHCP_CYCLES=20000`. */
const CYCLES = Number(process.env.DHCP_CYCLES ?? 400);
const LINKS = 40;

/** kB of memory a process has of its own. */
const memoryOf = ({ pid }: Process): number =>
  Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);

/** One request, as the plugin makes it; the daemon's answer. */
const ask = async (socketPath: string, request: object): Promise<string> =>
  new Promise((resolve, reject) => {
    let said = "";
    const socket = connect(socketPath, () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on("data", (text) => (said += text.toString())).on("error", reject);
    socket.on("close", () => resolve(said));
  });

test("hundreds of leases and renewals take no more memory than some", async () => {
  const scene = await DhcpScene.make();
  await scene.kea({ "valid-lifetime": 100, "renew-timer": 1, "rebind-timer": 50 });
  const daemon = await scene.daemon();
  const pod = await scene.node.pod();
  const names = Array.from({ length: LINKS }, (_, at) => `e${at}`);
  for (const name of names) {
    await scene.node.ip(`link add link uplink name ${name} netns ${pod.name} type macvlan mode bridge`);
  }
  const about = (ifname: string) => ({ network: "net", containerId: "c1", ifname, netns: pod.path });
  const renewals = (): number => daemon.lines.filter((line) => line.includes("renewed")).length;
  const use = async (cycles: number): Promise<void> => {
    for (let cycle = 0; cycle < cycles; cycle += LINKS) {
      const each = async (verb: string) =>
        Promise.all(names.map(async (name) => ask(scene.socketPath, { verb, ...about(name) })));
      for (const answer of await each("ADD")) expect(answer).toContain('"address":"10.9.0.1');
      for (const answer of await each("DEL")) expect(answer).toContain('{"result":{}}');
    }
    const address = /"address":"([^"]*)"/;
    for (const name of names) {
      const answer = await ask(scene.socketPath, { verb: "ADD", ...about(name) });
      await pod.ip(`address replace ${address.exec(answer)![1]} dev ${name}`);
    }
    const from = daemon.lines.length;
    for (let rounds = 0, seen = renewals(); renewals() < seen + cycles; rounds++) {
      if (rounds > cycles) throw new Error("no more renewals");
      await daemon.line(/renewed/, { from: Math.max(from, daemon.lines.length) });
    }
    for (const name of names) await ask(scene.socketPath, { verb: "DEL", ...about(name) });
    for (const name of names) await pod.ip(`address flush dev ${name}`);
  };
  await use(CYCLES);
  const before = memoryOf(daemon);
  await use(CYCLES);
  const after = memoryOf(daemon);
  process.stderr.write(`${renewals()} renewals, ${CYCLES * 2} leases: ${before} kB, then ${after} kB\n`);
  expect(after - before).toBeLessThan(200);
}, 900_000);
