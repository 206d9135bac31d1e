import { join } from "node:path";
import { environment } from "../harness/invoke.ts";
import { root } from "../harness/paths.ts";
import { type Config } from "./configs.ts";
import type { Node } from "./harness.ts";
import { type Call, podwireFolder, type Verb } from "./harness.ts";
import { tcp } from "./ports.ts";

export const ports = { capabilities: { portMappings: true }, runtimeConfig: { portMappings: [tcp(8080, 80)] } };
/** A verb by a command that takes something from podwire first. */
export async function by(
  [program, ...args]: string[],
  node: Node,
  verb: Verb,
  call: Call,
): Promise<{ exitCode: number; stdout: string }> {
  const folder = podwireFolder();
  const { exitCode, stdout } = await node.run(program!, [...args, join(folder, call.plugin)], {
    env: environment(folder, verb, call),
    input: JSON.stringify(call.config),
  });
  return { exitCode: exitCode ?? -1, stdout };
}
export const call = (config: Config): Call => ({ plugin: config.type, config, containerId: "never", ifname: "eth0" });
/** What a kernel without netfilter's netlink has not. */
export const withoutNftables = [process.execPath, "--import", "tsx", join(root, "test/fault/without.ts")];
