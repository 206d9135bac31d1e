import { describe, expect, test } from "vitest";
import {
  attach,
  bareEnvironment,
  bridge,
  callFor,
  complaint,
  type Config,
  dualStack,
  hostLocal,
  type More,
  programs,
  ptp,
  refusal,
  v4,
} from "./configs.ts";
import { type Namespace, Node } from "./harness.ts";

/** A way for ADD to fail: what is done to the node before, the configuration and call that then fail, and how. */
interface Failing {
  config(node: Node): Config;
  prepare?(node: Node): Promise<unknown>;
  call?(node: Node): Promise<More>;
  code?: number;
  msg: RegExp;
}

const masquerading = (node: Node, more: object = {}): Config =>
  bridge(node, { isDefaultGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(node), ...more });
const unusable = [{ dst: "10.77.0.0/16", gw: "172.16.0.1" }];

/** iptables that pass every test and then cannot change anything. */
const brokenIptables = async (): Promise<More> => {
  const restore = 'case "$*" in *--test*) exit 0;; esac; echo "no luck" >&2; exit 4';
  const save = (tool: string): string => `exec /usr/sbin/${tool} "$@"`;
  const tools = {
    "iptables-save": save("iptables-save"),
    "ip6tables-save": save("ip6tables-save"),
    "iptables-restore": restore,
    "ip6tables-restore": restore,
  };
  return { env: { PATH: programs(tools) } };
};

const takenName = async (node: Node): Promise<More> => {
  const pod = await node.pod();
  await pod.ip("link add name eth0 type bridge");
  return { netns: pod };
};

const steps: [string, Failing][] = [
  [
    "CNI_NETNS leads nowhere",
    {
      config: masquerading,
      call: async () => ({ netns: "/run/netns/nowhere" }),
      code: 4,
      msg: /\/run\/netns\/nowhere/,
    },
  ],
  [
    "CNI_NETNS is a plain file",
    { config: masquerading, call: async () => ({ netns: "/etc/hostname" }), code: 4, msg: /not a network namespace/ },
  ],
  [
    "CNI_NETNS is the plugin's own",
    { config: masquerading, call: async (node) => ({ netns: node }), code: 8, msg: /itself runs in/ },
  ],
  [
    "CNI_IFNAME is taken (bridge)",
    { config: masquerading, call: takenName, code: 4, msg: /CNI_IFNAME "eth0".*exists/ },
  ],
  [
    "CNI_IFNAME is taken (ptp)",
    {
      config: (node) => ptp(node, { name: "routed", ipMasq: true }),
      call: takenName,
      code: 4,
      msg: /CNI_IFNAME "eth0".*exists/,
    },
  ],
  [
    "CNI_IFNAME is a pattern for the kernel",
    { config: masquerading, call: async () => ({ ifname: "eth%d" }), code: 4, msg: /"eth%d"/ },
  ],
  [
    "CNI_IFNAME is a name the kernel has for sysctls",
    { config: masquerading, call: async () => ({ ifname: "all" }), code: 4, msg: /"all".* or is all or default/ },
  ],
  [
    "the bridge's name belongs to another link",
    { config: (node) => masquerading(node, { bridge: "lo" }), code: 7, msg: /"lo" already exists but is not a bridge/ },
  ],
  [
    "a gateway address conflicts",
    {
      config: (node) =>
        bridge(node, { name: "other", isGateway: true, ipam: hostLocal(node, { subnet: "10.10.0.0/24" }) }),
      msg: /different from 10\.10\.0\.1\/24/,
    },
  ],
  [
    "a route is unusable (bridge)",
    {
      config: (node) => masquerading(node, { ipam: hostLocal(node, { ...v4, routes: unusable }) }),
      msg: /10\.77\.0\.0\/16 via 172\.16\.0\.1/,
    },
  ],
  [
    "a route is unusable (ptp)",
    {
      config: (node) =>
        ptp(node, {
          name: "routed",
          ipMasq: true,
          ipam: hostLocal(node, { subnet: "10.10.0.0/24", routes: unusable }),
        }),
      msg: /10\.77\.0\.0\/16/,
    },
  ],
  [
    "the range is exhausted",
    {
      config: (node) =>
        masquerading(node, { ipam: hostLocal(node, { ...v4, rangeStart: "10.9.0.2", rangeEnd: "10.9.0.2" }) }),
      code: 11,
      msg: /10\.9\.0\.2/,
    },
  ],
  [
    "the second family is exhausted",
    {
      config: (node) =>
        masquerading(node, {
          ipam: hostLocal(node, {
            ranges: [[v4], [{ subnet: "fd00:9::/64", rangeStart: "fd00:9::2", rangeEnd: "fd00:9::2" }]],
          }),
        }),
      code: 11,
      msg: /fd00:9::2/,
    },
  ],
  [
    "the requested address is taken",
    { config: masquerading, call: async () => ({ args: "IP=10.9.0.2" }), msg: /10\.9\.0\.2/ },
  ],
  [
    "iptables are missing",
    {
      config: (node) => masquerading(node, { ipMasqBackend: "iptables" }),
      call: async () => ({ env: bareEnvironment() }),
      msg: /iptables/,
    },
  ],
  [
    "iptables fail",
    { config: (node) => masquerading(node, { ipMasqBackend: "iptables" }), call: brokenIptables, msg: /no luck/ },
  ],
  [
    "iptables fail (ptp)",
    {
      config: (node) =>
        ptp(node, {
          name: "routed",
          ipMasq: true,
          ipMasqBackend: "iptables",
          ipam: hostLocal(node, { subnet: "10.10.0.0/24" }),
        }),
      call: brokenIptables,
      msg: /no luck/,
    },
  ],
  [
    "nftables fail",
    {
      config: masquerading,
      prepare: async (node) =>
        node.must(
          "nft",
          "delete table inet podwire; add table inet podwire; add set inet podwire masquerade4 { type inet_service; }",
        ),
      msg: /podwire/,
    },
  ],
];

describe("an ADD that fails leaves everything as it was", () => {
  test.each(steps)("%s", async (_what, { config, prepare, call, code, msg }) => {
    const node = await Node.create();
    const live = await attach(node, masquerading(node));
    await prepare?.(node);
    const failing = await callFor(node, config(node), await call?.(node));
    const before = await node.snapshot();
    const error = await refusal(node, failing);
    expect(error).toMatchObject({ ...(code !== undefined && { code }), msg: expect.stringMatching(msg) });
    expect(await node.snapshot()).toEqual(before);
    if (prepare === undefined) expect(await complaint(node, live)).toBe("");
  });

  test("the same call succeeds once the reason is gone", async () => {
    const node = await Node.create();
    const { netns } = await takenName(node);
    const call = await callFor(node, masquerading(node), { netns: netns! });
    await refusal(node, call);
    await (netns as Namespace).ip("link delete eth0");
    await node.succeed("ADD", call);
    expect(node.leases()).toEqual({
      "net/10.9.0.3": `${call.containerId}\r\neth0`,
      "net/fd00:9::3": `${call.containerId}\r\neth0`,
    });
  });

  test("nothing at all is made on an empty node when the configuration, the environment or the tools are wrong", async () => {
    const node = await Node.create();
    const before = await node.snapshot();
    for (const [more, call] of [
      [{ mtu: "x" }, {}],
      [{}, { args: "x" }],
      [{ ipMasqBackend: "iptables" }, { env: bareEnvironment() }],
      [{}, { netns: "/run/netns/nowhere" }],
    ] as const) {
      await refusal(node, await callFor(node, masquerading(node, more), call));
    }
    expect(await node.snapshot()).toEqual(before);
    expect(node.leases({ all: true })).toEqual({});
  });
});

describe("a second ADD for the same container and interface", () => {
  test.each([
    ["bridge", masquerading],
    ["bridge without IPAM", (node: Node) => bridge(node, { ipam: undefined })],
    ["bridge, iptables", (node: Node) => masquerading(node, { ipMasqBackend: "iptables" })],
    ["ptp", (node: Node) => ptp(node, { ipMasq: true })],
    ["ptp, link-local", (node: Node) => ptp(node, { ipMasq: true, gatewayMode: "link-local" })],
  ])("is an error and leaves the live attachment unharmed: %s", async (_what, config) => {
    const node = await Node.create();
    const live = await attach(node, config(node));
    const before = await node.snapshot();
    expect((await node.podwire("ADD", live.call)).exitCode).toBe(1);
    expect((await node.podwire("ADD", { ...live.call, netns: await node.pod() })).exitCode).toBe(1);
    expect(await node.snapshot()).toEqual(before);
    expect(await complaint(node, live)).toBe("");
  });

  test("with a requested address neither", async () => {
    const node = await Node.create();
    const live = await attach(node, masquerading(node), { args: "IP=10.9.0.77" });
    const before = await node.snapshot();
    expect((await node.podwire("ADD", { ...live.call, args: "IP=10.9.0.78" })).exitCode).toBe(1);
    expect((await node.podwire("ADD", live.call)).exitCode).toBe(1);
    expect(await node.snapshot()).toEqual(before);
    expect(await complaint(node, live)).toBe("");
  });
});
