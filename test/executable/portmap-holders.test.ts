import { beforeEach, describe, expect, test } from "vitest";
import { reference } from "./harness.ts";
import { type Backend, backends, type Holding, holding, portmap, serving } from "./portmap-holders.ts";
import { tcp, translations, udp } from "./ports.ts";

// A host port that somebody holds elsewhere than in the tables podwire is about to write: in the reference's, or in
// those of podwire's other backend.

/** Debian's v1.1.1 knows iptables only, and no key to ask for it. */
const theirs: readonly Backend[] = reference.newest ? backends : ["iptables"];
const places = {
  nftables: "nftables table ip cni_hostport",
  iptables: "iptables table nat, chain CNI-DN-[0-9a-f]{21}",
};
const ownPlaces = { ...places, nftables: "nftables table inet podwire" };

let node: Holding["node"];
let podwire: Holding["podwire"];
let theReference: Holding["theReference"];
let attach: Holding["attach"];
let attachBy: Holding["attachBy"];
let owners: Holding["owners"];
beforeEach(async () => {
  ({ node, podwire, theReference, attach, attachBy, owners } = await holding());
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
