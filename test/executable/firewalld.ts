import { execa, type Options } from "execa";
import { onTestFinished } from "vitest";
import { Node, temporaryFolder } from "./harness.ts";

// firewalld itself, in a node's namespace, on a message bus of its own.

/** What is needed for it: Debian's packages firewalld, dbus-daemon and systemd, which has busctl. */
export const firewalldPrograms = ["firewalld", "firewall-cmd", "dbus-daemon", "busctl"];

const START_MS = 120_000;

interface Firewalld {
  node: Node;
  /** the sources of a zone, as firewall-cmd prints them */
  sources(zone: string): Promise<string>;
  /** where podwire finds it */
  env: Record<string, string>;
}

/** A node that firewalld runs on, until the test ends. */
export async function nodeWithFirewalld(): Promise<Firewalld> {
  const node = await Node.create();
  const address = `unix:path=${temporaryFolder("bus")}/socket`;
  const env = { DBUS_SYSTEM_BUS_ADDRESS: address };
  const inside = (...command: string[]): string[] => [`--net=${node.path}`, "--", ...command];
  const options = { env, reject: false, all: true } satisfies Options;
  const bus = execa(
    "nsenter",
    inside("dbus-daemon", "--session", `--address=${address}`, "--nofork", "--nopidfile", "--print-address"),
    options,
  );
  await new Promise((resolve) => void bus.stdout.once("data", resolve));
  const daemon = execa("nsenter", inside("firewalld", "--nofork", "--nopid"), options);
  onTestFinished(async () => {
    for (const each of [daemon, bus]) {
      each.kill("SIGKILL");
      await each;
    }
  });
  const ask = async (...args: string[]): Promise<string> =>
    (await execa("nsenter", inside("firewall-cmd", ...args), { env, reject: false })).stdout;
  // firewall-cmd fails until firewalld is on the bus, and waits from then on until it is ready
  for (const since = Date.now(); (await ask("--state")) !== "running";) {
    if (Date.now() - since > START_MS) throw new Error("firewalld does not start");
  }
  return { node, env, sources: async (zone) => ask(`--zone=${zone}`, "--list-sources") };
}
