import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Node } from "./harness.ts";
import { executable, podwireFolder, temporaryFolder } from "./harness.ts";

export const program = (file: string, script: string): void => {
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
};

/** A folder for PATH with a containerd that says its version. */
export function containerd(version: string): string {
  const bin = temporaryFolder("bin");
  program(join(bin, "containerd"), `echo "containerd github.com/containerd/containerd ${version} 1c4457e00facac03"`);
  return `${bin}:/usr/sbin:/usr/bin:/sbin:/bin`;
}

/** As a person on the node types it, who has a new containerd and no other networks. */
export const validateOn = async (
  node: Node,
  args: string[],
  more: { PATH?: string; input?: string; confDir?: string } = {},
) =>
  node.run(executable, ["validate", "--bin-dir", podwireFolder(), "--conf-dir", more.confDir ?? "/nowhere", ...args], {
    env: { PATH: more.PATH ?? containerd("v2.1.4") },
    ...(more.input !== undefined && { input: more.input }),
  });

/** What was found, without the file's name and the breaks of lines; the sum last. */
export const findings = ({ stdout }: { stdout: string }): string[] =>
  stdout
    .trimEnd()
    .replaceAll(/\n {4}/g, " ")
    .split("\n")
    .map((line) => line.replace(/^\/\S+?:(?=\d)/, "").replaceAll(/ +/g, " "));

export const ipam = { type: "host-local", ranges: [[{ subnet: "10.9.0.0/24" }]] };
