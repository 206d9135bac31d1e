import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { bareEnvironment, defaultRoutes, dualStack } from "./configs.ts";
import {
  type Answer,
  type Call,
  type CniResult,
  type Namespace,
  type Node,
  type Outside,
  reference,
  runList,
  type Verb,
} from "./harness.ts";
import { type Mapping, nodeWithOutside, reach, tcp, translations, udp } from "./ports.ts";

// A host port that somebody holds elsewhere than in the tables podwire is about to write: in the reference's, or in
// those of podwire's other backend.

type Backend = "nftables" | "iptables";
const backends: readonly Backend[] = ["nftables", "iptables"];
/** Debian's v1.1.1 knows iptables only, and no key to ask for it. */
const theirs: readonly Backend[] = reference.newest ? backends : ["iptables"];
const places = {
  nftables: "nftables table ip cni_hostport",
  iptables: "iptables table nat, chain CNI-DN-[0-9a-f]{21}",
};
const ownPlaces = { ...places, nftables: "nftables table inet podwire" };

let node: Node;
let outside: Outside;
beforeEach(async () => {
  ({ node, outside } = await nodeWithOutside());
  // as on a kind node: the default route leads through a veth
  await node.ip("route add default via 192.0.2.2");
  await node.ip("route add default via 2001:db8::2");
});

type Run = (verb: Verb, call: Call) => Promise<Answer>;
const podwire: Run = async (verb, call) => node.podwire(verb, call);
const theReference: Run = async (verb, call) => node.reference(verb, call);

interface Pod {
  containerId: string;
  netns: Namespace;
  answer: Answer;
}

/** Wires a pod by ptp (or bridge) and portmap, dual stack. */
async function attach(run: Run, containerId: string, backend: Backend, ...mappings: Mapping[]): Promise<Pod> {
  return attachBy("ptp", run, { containerId, backend, mappings });
}

async function attachBy(
  main: string,
  run: Run,
  { containerId, backend, mappings }: { containerId: string; backend: Backend; mappings: Mapping[] },
): Promise<Pod> {
  const netns = await node.pod({ up: true });
  const ipam = dualStack(node, { routes: defaultRoutes });
  const key = reference.newest || run === podwire ? { backend } : {};
  const list = {
    cniVersion: "1.0.0",
    name: "net",
    plugins: [
      { type: main, isGateway: true, ipam },
      { type: "portmap", capabilities: { portMappings: true }, ...key },
    ],
  };
  return {
    containerId,
    netns,
    answer: await runList(run, "ADD", list, { containerId, netns, capabilities: { portMappings: mappings } }),
  };
}

/** The pod of an ADD that must have succeeded, with a server on port 80. */
async function serving(made: Promise<Pod>): Promise<Pod & { result: CniResult }> {
  const pod = await made;
  if (!pod.answer.result) throw new Error(pod.answer.stdout);
  await pod.netns.listen(80, { name: pod.containerId });
  return { ...pod, result: pod.answer.result };
}

/** Both families' answers on the host port, without whom they saw. */
const owners = async (port = 8080): Promise<string[]> =>
  Promise.all(
    [outside.node4, outside.node6].map(async (address) => (await reach(outside, address, port)).replace(/ saw .*/, "")),
  );

/** portmap alone, as after an ADD of another plugin that gave these addresses. */
const portmap = (backend: Backend, result: CniResult, ...portMappings: Mapping[]): Pick<Call, "plugin" | "config"> => ({
  plugin: "portmap",
  config: {
    cniVersion: "1.0.0",
    name: "net",
    type: "portmap",
    ...(reference.newest && { backend }),
    runtimeConfig: { portMappings },
    prevResult: result,
  },
});

describe.each(theirs.flatMap((their) => backends.map((our) => [their, our] as const)))(
  "a port the reference has by %s, wanted by %s",
  (their, our) => {
    test("stays with a live pod, and the error says where to look", async () => {
      await serving(attach(theReference, "theirs", their, tcp(8080, 80)));
      const before = await translations(node);
      const { answer } = await attach(podwire, "ours", our, tcp(8081, 80), tcp(8080, 80));
      expect(answer.error?.msg).toMatch(
        new RegExp(
          `^host port tcp 8080 is held by container theirs(, network net)? \\(rules of the reference portmap, ${places[their]}\\)$`,
        ),
      );
      expect(answer.error?.code).toBe(11);
      expect(await translations(node)).toBe(before);
      expect(await owners()).toEqual(["theirs", "theirs"]);
    });

    test("is taken over from a pod that went without DEL, in both families, with all it left", async () => {
      const gone = await serving(
        attach(theReference, "theirs", their, tcp(8080, 80), udp(5353, 53), tcp(8082, 82, "192.0.2.1")),
      );
      await gone.netns.vanish();
      await serving(attach(podwire, "ours", our, tcp(8080, 80)));
      expect(await owners()).toEqual(["ours", "ours"]);
      expect(await translations(node)).not.toMatch(/theirs|5353|8082/);
    });

    test("overlaps as far as addresses do", async () => {
      await serving(attach(theReference, "theirs", their, tcp(8080, 80, "192.0.2.1"), tcp(9090, 80)));
      const attempts = [
        tcp(8080, 80),
        tcp(8080, 80, "192.0.2.1"),
        tcp(8080, 80, "127.0.0.1"),
        udp(8080, 80),
        tcp(9090, 80, "127.0.0.1"),
        tcp(8080, 80, "::"),
      ];
      const outcomes: string[] = [];
      for (const [index, mapping] of attempts.entries()) {
        outcomes.push(
          ((await attach(podwire, `ours-${index}`, our, mapping)).answer.error?.msg ?? "mapped").replace(/ by .*/, ""),
        );
      }
      const held = "host port tcp 8080";
      expect(outcomes).toEqual([
        `${held} is held`,
        `${held} of 192.0.2.1 is held`,
        "mapped",
        "mapped",
        "host port tcp 9090 of 127.0.0.1 is held",
        "mapped",
      ]);
    });

    test("is the same container's: its old rules make way", async () => {
      const pod = await serving(attach(theReference, "same", their, tcp(8080, 80)));
      const call = { ...portmap(our, pod.result, tcp(8080, 80)), containerId: "same", netns: pod.netns };
      await node.succeed("ADD", call);
      expect(await owners()).toEqual(["same", "same"]);
      expect(await translations(node)).not.toMatch(our === "nftables" ? /CNI-DN-|comment "same"/ : /comment "same/);
      await node.succeed("CHECK", call);
      await node.succeed("DEL", call);
      expect(await translations(node)).not.toContain("8080");
    });

    test("goes with the address it leads to: another container has that now", async () => {
      const pod = await serving(attach(podwire, "ours", our));
      const stale = { ...portmap(their, pod.result, tcp(8080, 80)), containerId: "stale", netns: pod.netns };
      expect(await node.reference("ADD", stale)).toMatchObject({ exitCode: 0 });
      await node.succeed("ADD", { ...portmap(our, pod.result, tcp(8080, 80)), containerId: "ours", netns: pod.netns });
      expect(await owners()).toEqual(["ours", "ours"]);
      expect(await translations(node)).not.toContain("stale");
    });
  },
);

/** What conf/README.md says to do by hand: by family, what takes the port away from a container that is no more. */
const byHand = {
  nftables: `for f in ip ip6; do nft delete rule $f cni_hostport hostports handle $(nft -a list table $f cni_hostport | sed -n 's/.*dport 8080.* handle //p'); done`,
  iptables: `for t in iptables ip6tables; do $t -t nat -F $($t-save -t nat | sed -n 's/^:\\(CNI-DN-[^ ]*\\).*/\\1/p'); done`,
};

test.each(theirs)("many at once take over what one pod of the reference left (%s)", async (their) => {
  const ports = Array.from({ length: 12 }, (_, index) => 8000 + index);
  const gone = await serving(attach(theReference, "theirs", their, ...ports.map((port) => tcp(port, 80))));
  await gone.netns.vanish();
  const heirs = await Promise.all(
    ports.map(async (port) => attach(podwire, `heir-${port}`, "nftables", tcp(port, 80))),
  );
  expect(heirs.map(({ answer }) => answer.error?.msg ?? "mapped")).toEqual(ports.map(() => "mapped"));
  expect(await translations(node)).not.toContain("theirs");
});

test.each(theirs)(
  "a pod of the reference on a bridge is never proved gone, for its bridge stays (%s)",
  async (their) => {
    const gone = await serving(
      attachBy("bridge", theReference, { containerId: "theirs", backend: their, mappings: [tcp(8080, 80)] }),
    );
    await gone.netns.vanish();
    expect((await attach(podwire, "ours", "nftables", tcp(8080, 80))).answer.error?.msg).toMatch(
      /^host port tcp 8080 is held by container theirs/,
    );
    await node.must("sh", "-c", byHand[their]);
    await serving(attach(podwire, "heir", "nftables", tcp(8080, 80)));
    expect(await owners()).toEqual(["heir", "heir"]);
  },
);

describe.each([
  ["nftables", "iptables"],
  ["iptables", "nftables"],
] as const)("a port podwire has by %s, wanted by %s", (first, second) => {
  test("stays with a live pod, and the error says where to look", async () => {
    await serving(attach(podwire, "first", first, tcp(8080, 80, "192.0.2.1"), tcp(9090, 80)));
    const before = await translations(node);
    const attempts = [tcp(8080, 80), tcp(8080, 80, "192.0.2.1"), tcp(9090, 80), tcp(9090, 80, "127.0.0.1")];
    for (const [index, mapping] of attempts.entries()) {
      const { error } = (await attach(podwire, `second-${index}`, second, mapping)).answer;
      expect(error?.msg).toMatch(
        new RegExp(
          `^host port tcp \\d+( of [0-9.]+)? is held by container first, interface eth0, network net \\(${ownPlaces[first]}\\)$`,
        ),
      );
      expect(await translations(node)).toBe(before);
    }
    expect((await attach(podwire, "third", second, tcp(8080, 80, "127.0.0.1"))).answer).toMatchObject({ exitCode: 0 });
  });

  test("is taken over from a pod whose link is gone", async () => {
    const gone = await serving(attach(podwire, "first", first, tcp(8080, 80), udp(5353, 53)));
    await gone.netns.vanish();
    await serving(attach(podwire, "second", second, tcp(8080, 80)));
    expect(await owners()).toEqual(["second", "second"]);
    expect(await translations(node)).not.toMatch(/first|5353/);
  });

  test("is the same container's: its old rules make way", async () => {
    const pod = await serving(attach(podwire, "same", first, tcp(8080, 80)));
    const call = {
      ...portmap(second, pod.result, tcp(8080, 80)),
      config: { ...(portmap(second, pod.result, tcp(8080, 80)).config as object), backend: second },
      containerId: "same",
      netns: pod.netns,
    };
    await node.succeed("ADD", call);
    expect(await owners()).toEqual(["same", "same"]);
    expect(await translations(node)).not.toMatch(second === "nftables" ? /CNI-DN-/ : /comment "net same/);
    await node.succeed("CHECK", call);
    await node.succeed("DEL", call);
    expect(await translations(node)).not.toContain("8080");
  });
});

describe("the tools of iptables", () => {
  const result = { cniVersion: "1.0.0", ips: [{ address: "10.9.0.5/24" }, { address: "fd00:9::5/64" }] };

  const allTools = ["iptables", "ip6tables"].flatMap((family) =>
    ["", "-nft", "-legacy"].flatMap((flavour) => [`${family}${flavour}-save`, `${family}${flavour}-restore`]),
  );

  test("are run by the nftables backend only where a chain has something in it, and are not needed", async () => {
    const folder = mkdtempSync("/run/podwire-test-tools-");
    const used = join(folder, "used");
    writeFileSync(used, "");
    for (const tool of allTools) {
      writeFileSync(join(folder, tool), `#!/bin/sh\necho ${tool} >> ${used}\nexec /usr/sbin/${tool} "$@"\n`, {
        mode: 0o755,
      });
    }
    const add = async (port: number, PATH: string) =>
      node.succeed("ADD", {
        ...portmap("nftables", result, tcp(port, 80)),
        containerId: `pod-${port}`,
        netns: "/run/netns/none",
        env: { PATH },
      });
    await node.must("iptables", "-t", "nat", "-N", "CNI-HOSTPORT-DNAT");
    await add(8000, `${folder}:/usr/sbin:/usr/bin:/bin`);
    expect(readFileSync(used, "utf8")).toBe("");
    expect(
      await node.reference("ADD", {
        ...portmap("iptables", { ...result, ips: result.ips.slice(0, 1) }, tcp(9000, 80)),
        containerId: "theirs",
        netns: "/run/netns/none",
      }),
    ).toMatchObject({ exitCode: 0 });
    await add(8001, `${folder}:/usr/sbin:/usr/bin:/bin`);
    expect(readFileSync(used, "utf8")).toBe("iptables-nft-restore\n");
    await add(9000, bareEnvironment().PATH!);
    rmSync(folder, { recursive: true });
  });

  /** A PATH whose plain names are those of one kind. */
  function plainly(kind: "legacy" | "nft"): { PATH: string } {
    const folder = mkdtempSync("/run/podwire-test-tools-");
    for (const family of ["iptables", "ip6tables"]) {
      for (const tool of ["", "-save", "-restore"]) {
        symlinkSync(`/usr/sbin/${family}-${kind}${tool}`, join(folder, `${family}${tool}`));
      }
    }
    onTestFinished(() => rmSync(folder, { recursive: true }));
    return { PATH: `${folder}:/usr/sbin:/usr/bin:/bin` };
  }
  const asked = (backend: Backend, containerId: string, env: Record<string, string>, more: object = {}): Call => ({
    ...portmap(backend, result, tcp(8080, 80)),
    containerId,
    netns: "/run/netns/none",
    env,
    ...more,
  });

  test.each([
    ["legacy", "nftables", "legacy"],
    ["legacy", "iptables", "nft"],
    ["nft", "iptables", "legacy"],
  ] as const)("of the %s kind show what another backend does not see: %s, %s", async (held, backend, ours) => {
    const pod = await serving(attach(podwire, "live", "nftables"));
    const theirs = { ...portmap("iptables", pod.result, tcp(8080, 80)), netns: pod.netns, env: plainly(held) };
    expect(await node.reference("ADD", { ...theirs, containerId: "live" })).toMatchObject({ exitCode: 0 });
    const { error } = await node.podwire("ADD", asked(backend, "other", plainly(ours)));
    expect(error?.msg).toMatch(
      /^host port tcp 8080 is held by container live, network net \(rules of the reference portmap, iptables table nat, chain CNI-DN-/,
    );
  });

  test.each([
    ["legacy", "nft"],
    ["nft", "legacy"],
  ] as const)(
    "of the %s kind are asked for a gone pod's port, and its own, by ADDs with the %s kind",
    async (held, ours) => {
      const gone = await serving(attach(podwire, "gone", "nftables"));
      const old = { ...portmap("iptables", gone.result, tcp(8080, 80)), netns: gone.netns };
      await node.succeed("ADD", { ...old, containerId: "gone", env: plainly(held) });
      await gone.netns.vanish();
      const dnats = async (kind: string): Promise<number> =>
        (await node.must(`iptables-${kind}-save`, "-t", "nat")).split("-j DNAT --to").length - 1;
      expect(await dnats(held)).toBe(1);
      await node.succeed("ADD", asked("iptables", "heir", plainly(ours)));
      expect([await dnats(held), await dnats(ours)]).toEqual([0, 1]);
      await node.succeed("ADD", asked("iptables", "heir", plainly(held)));
      expect([await dnats(held), await dnats(ours)]).toEqual([1, 0]);
    },
  );
});

test("rules of another form in the reference's table are nobody's claim, and a counter is no other form", async () => {
  await node.must(
    "sh",
    "-c",
    `nft -f - <<'END'
    table ip cni_hostport {
      chain hostports {
        tcp dport { 8080, 8081 } dnat to 10.9.0.7:80 comment "set"
        tcp dport 8080 ip saddr 192.0.2.9 dnat to 10.9.0.7:80 comment "source"
        tcp dport 8080 redirect to :80 comment "redirect"
        tcp dport 8080 dnat to 10.9.0.7:80
        tcp dport != 8080 dnat to 10.9.0.7:80 comment "not"
        udp dport 8080 dnat to 10.9.0.7:80 comment "udp"
        tcp dport 8080 counter dnat to 10.9.0.7:80 comment "counter"
      }
    }
END`,
  );
  expect((await attach(podwire, "ours", "nftables", tcp(8080, 80))).answer).toMatchObject({ exitCode: 0 });
  // 10.9.0.7 is nowhere on this node: what is understood is taken over
  const left = [...(await node.must("nft", "list", "table", "ip", "cni_hostport")).matchAll(/comment "(\w+)"/g)].map(
    (match) => match[1],
  );
  expect(left).toEqual(["set", "source", "redirect", "not", "udp"]);
});
