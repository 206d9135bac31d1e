import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { environment } from "../harness/invoke.ts";
import { attach, bridge, type Config, hostLocal, ptp } from "./configs.ts";
import { type Call, Node, podwireFolder } from "./harness.ts";
import { tcp } from "./ports.ts";

// DEL succeeds where there is nothing of the attachment, however little podwire may do there; where there is something
// it says so.

const ports = { capabilities: { portMappings: true }, runtimeConfig: { portMappings: [tcp(8080, 80)] } };
const plugins: [string, (node: Node) => Config][] = [
  ["bridge", (node) => bridge(node, { ipMasq: true, ...ports })],
  ["bridge without IPAM", (node) => bridge(node, { ipam: {} })],
  ["ptp", (node) => ptp(node, { ipMasq: true })],
  ["host-local", (node) => ({ cniVersion: "1.1.0", name: "net", type: "host-local", ipam: hostLocal(node) })],
  ["portmap", () => ({ cniVersion: "1.1.0", name: "net", type: "portmap", ...ports })],
];

/** DEL by a command that takes something from podwire first. */
async function del(
  node: Node,
  call: Call,
  [program, ...args]: string[],
): Promise<{ exitCode: number; stdout: string }> {
  const folder = podwireFolder();
  const { exitCode, stdout } = await node.run(program!, [...args, join(folder, call.plugin)], {
    env: environment(folder, "DEL", call),
    input: JSON.stringify(call.config),
  });
  return { exitCode: exitCode ?? -1, stdout };
}

const call = (config: Config): Call => ({ plugin: config.type, config, containerId: "never", ifname: "eth0" });
const weak = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"];
/** Everything of /var/lib and of the leases can be read and not written. */
const readOnly = (node: Node): string[] => [
  "unshare",
  "--mount",
  "--propagation",
  "private",
  "sh",
  "-c",
  'for path in /var/lib "$0"; do mount --bind "$path" "$path"; mount -o remount,bind,ro "$path"; done; exec "$@"',
  node.dataDir,
];

describe.each(plugins)("DEL of nothing, %s", (_what, config) => {
  test("without CAP_NET_ADMIN", async () => {
    const node = await Node.create();
    const pods = { ...call(config(node)), netns: await node.pod() };
    expect(await del(node, pods, weak)).toEqual({ exitCode: 0, stdout: "" });
    expect(await del(node, call(config(node)), weak)).toEqual({ exitCode: 0, stdout: "" });
  });

  test.each(["no folder of the network", "a folder of the network"])("on a read-only disk, %s", async (there) => {
    const node = await Node.create();
    if (there.startsWith("a ")) mkdirSync(join(node.dataDir, "net"), { recursive: true });
    expect(await del(node, call(config(node)), readOnly(node))).toEqual({ exitCode: 0, stdout: "" });
  });
});

describe("DEL of something", () => {
  test("says that it may not delete the link", async () => {
    const node = await Node.create();
    const { call: attached, hostVeth } = await attach(node, bridge(node));
    const { exitCode, stdout } = await del(node, attached, weak);
    expect(exitCode).toBe(1);
    expect(stdout).toContain(`cannot delete link ${hostVeth}`);
    await node.succeed("DEL", attached);
  });

  test("says that it cannot free the lease, and does once it can", async () => {
    const node = await Node.create();
    const { call: attached } = await attach(node, bridge(node));
    const { exitCode, stdout } = await del(node, attached, readOnly(node));
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/cannot release the addresses.*EROFS/);
    expect(readdirSync(join(node.dataDir, "net"))).toContain("10.9.0.2");
    await node.succeed("DEL", attached);
    expect(readdirSync(join(node.dataDir, "net"))).not.toContain("10.9.0.2");
  });
});
