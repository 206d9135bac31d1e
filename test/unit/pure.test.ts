import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { files, imports, layer, source } from "./source.ts";

// Pure code loads anywhere: where there is no engine, and where nothing may be touched.

/** Whole folders that are pure: values, bytes, words, the protocol, what plugins plan, their keys. */
const folders = ["net", "netlink", "cni", "protocol", "plugins/interface", "plugins/chained"];
/** One talks to the pod's `lo`, the other runs and remembers delegates; neither does anything else. */
const impure = ["plugins/interface/loopback.ts", "plugins/interface/flannel.ts"];
/** Plans and formats elsewhere: from configuration to data. */
const plans = [
  "attachment/attachment.ts",
  "attachment/parts.ts",
  "attachment/address/source-tables.ts",
  "attachment/firewall/chain-rules.ts",
  "attachment/link/own-link.ts",
  "attachment/link/port.ts",
  "attachment/ports/keys.ts",
  "attachment/try-each.ts",
  "attachment/undo.ts",
  "cli/arguments.ts",
  "cli/json-places.ts",
  "cli/lease-options.ts",
  "cli/network-list.ts",
  "cli/terminal.ts",
  "cli/usage.ts",
  "dhcp/asked.ts",
  "dhcp/lease.ts",
  "dhcp/message.ts",
  "dhcp/options.ts",
  "dhcp/packet.ts",
  "dhcp/protocol.ts",
  "dhcp/record.ts",
  "dhcp/task.ts",
  "doctor/differences.ts",
  "doctor/finding.ts",
  "doctor/firewall/evaluate.ts",
  "doctor/firewall/packet.ts",
  "doctor/firewall/xtables.ts",
  "ipam/allocator.ts",
  "ipam/config.ts",
  "ipam/dhcp-config.ts",
  "ipam/keys.ts",
  "ipam/lease-folder.ts",
  "ipam/range.ts",
  "ipam/requests.ts",
  "ipam/resolv-conf.ts",
  "ipam/static-config.ts",
  "ipam/static.ts",
  "node/record-folder.ts",
  "plugins/port-mappings.ts",
  "survey/choose.ts",
  "survey/judgement.ts",
  "survey/own-call.ts",
  "survey/places.ts",
  "verbs/attempt.ts",
  "verbs/plan.ts",
];
const inFolders = files.filter((path) => folders.some((folder) => path.startsWith(`${folder}/`)));
const pure = [...inFolders.filter((path) => !impure.includes(path)), ...plans].toSorted();

/** What a file imports, types too, and what those import. */
function reached(from: string, seen = new Set<string>()): Set<string> {
  for (const { to } of imports.filter((each) => each.from === from)) {
    if (seen.has(to)) continue;
    seen.add(to);
    reached(to, seen);
  }
  return seen;
}

describe("pure code", () => {
  beforeAll(() => {
    expect(Reflect.get(globalThis, "host")).toBeUndefined();
  });

  test("is what it says, and there is plenty of it", () => {
    expect(pure.filter((path) => !files.includes(path))).toEqual([]);
    expect(pure.length).toBeGreaterThan(40);
  });

  test.each(pure)("%s reaches nothing of the kernel, not even its types", (path) => {
    expect([...reached(path)].filter((to) => layer(to) === "kernel")).toEqual([]);
  });

  test.each(pure)("%s loads without an engine", async (path) => {
    await expect(import(/* @vite-ignore */ join(source, path))).resolves.toBeTypeOf("object");
  });

  test("is all that could be told from the imports", () => {
    const others = files.filter((path) => !pure.includes(path) && layer(path) !== "kernel");
    expect(others.filter((path) => ![...reached(path)].some((to) => layer(to) === "kernel"))).toEqual([]);
  });
});
