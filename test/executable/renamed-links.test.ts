import { expect, test } from "vitest";
import { attach, complaint, type Config, hostDevice, linkOf, macvlan, namesIn, tap } from "./configs.ts";
import { Node } from "./harness.ts";

// A pod may call its link what it likes: bytes that are no text too.

const names = ["hid", "\\377\\376", "a\\303", "\\001", "eth0%%d"];
const makes: [string, (node: Node) => Config][] = [
  ["macvlan", macvlan],
  ["tap", tap],
  ["host-device", (node) => hostDevice(node, { device: "lan0" })],
];

test.each(makes.slice(0, 2))("DEL takes the link of a pod that dresses it up as another's, %s", async (_type, make) => {
  const node = await Node.create();
  await node.outside();
  const other = await attach(node, make(node));
  const decoy = ["link set eth0 down", "link set eth0 name hid", "link add eth0 type veth peer name decoy"];
  const lies: [lines: string[], left: string[]][] = [
    [["link set eth0 alias 'podwire net stranger eth0'"], []],
    [[`link set eth0 alias '${(await linkOf(other)).ifalias}'`], []],
    [decoy, ["decoy", "eth0"]],
  ];
  for (const [lines, left] of lies) {
    const { call, pod } = await attach(node, make(node));
    for (const line of lines) await pod.must("sh", "-c", `ip ${line}`);
    await node.succeed("DEL", call);
    expect((await namesIn(call)).filter((name) => name !== "lo").toSorted()).toEqual(left);
  }
  expect(await complaint(node, other)).toBe("");
});

test.each(makes)("DEL takes the link of a pod that has given it another name, %s", async (_type, make) => {
  const node = await Node.create();
  await node.outside();
  await node.ip("link add lan0 type veth peer name far");
  for (const name of names) {
    for (const more of [{}, { netns: "" }]) {
      const { call, pod, result } = await attach(node, make(node));
      await pod.ip("link set eth0 down");
      await pod.must("sh", "-c", `ip link set dev eth0 name "$(printf '${name}')"`);
      await node.succeed("DEL", { ...call, ...more, config: { ...call.config, prevResult: result } });
      expect([name, await namesIn(call)]).toEqual([name, ["lo"]]);
    }
  }
  expect(await node.link("lan0")).toBeDefined();
});
