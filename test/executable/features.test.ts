import { expect, test } from "vitest";
import { testFeatures } from "./features.ts";
import { loadConf, Node, podwireFolder } from "./harness.ts";

testFeatures();

test("STATUS says that a kernel without IPv6 has none", async () => {
  const node = await Node.create();
  const { cniVersion, name, plugins } = loadConf("ptp-dual-stack.json");
  const config = JSON.stringify({ cniVersion, name, ...plugins[0], ipMasq: false });
  const hidden = 'mount -t tmpfs none /proc/sys/net/ipv6; printf %s "$1" | CNI_COMMAND=STATUS "$2"';
  const plugin = `${podwireFolder()}/ptp`;
  const { stdout } = await node.run("unshare", ["--mount", "sh", "-ec", hidden, "sh", config, plugin]);
  expect(JSON.parse(stdout)).toMatchObject({ code: 50, msg: expect.stringContaining("has no IPv6") as unknown });
});
