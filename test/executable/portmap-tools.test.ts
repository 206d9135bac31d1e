import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { bareEnvironment } from "./configs.ts";
import type { Call } from "./harness.ts";
import { type Backend, type Holding, holding, portmap, serving } from "./portmap-holders.ts";
import { tcp } from "./ports.ts";

// With which of the tools of iptables portmap looks for who holds a host port.

let node: Holding["node"];
let podwire: Holding["podwire"];
let attach: Holding["attach"];
beforeEach(async () => {
  ({ node, podwire, attach } = await holding());
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
