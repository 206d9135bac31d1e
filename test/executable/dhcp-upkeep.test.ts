import { describe, expect } from "vitest";
import { attach, callFor, complaint, refusal } from "./configs.ts";
import { Process } from "./dhcp.ts";
import { executable } from "./harness.ts";
import { times, served, together, SOON } from "./dhcp-served.ts";

// How the daemon keeps leases up while pods live.

describe("a lease is kept up", () => {
  together({
    "a daemon that takes no notice at all: ten seconds, then an error; DEL works": async (scene) => {
      const { node, daemon } = await served(scene);
      const attached = await attach(node, scene.config());
      process.kill(daemon.pid, "SIGSTOP");
      const [added, deleted] = await Promise.all([
        refusal(node, await callFor(node, scene.config())),
        node.podwire("DEL", attached.call),
      ]);
      expect(added).toMatchObject({ code: 11, msg: expect.stringContaining("did not answer within 10 s") as unknown });
      expect(deleted.exitCode).toBe(0);
      await scene.hasLeased([]);
      process.kill(daemon.pid, "SIGCONT");
    },
    "renewed at T1 with its server, by the pod's address and MAC; at T2 with whoever answers": async (scene) => {
      const { node, daemon } = await served(scene, { server: times(3, 6), daemon: ["--timeout", "1s"] });
      const capture = await scene.capture("udp dst port 67");
      const { mac, ip4, call } = await attach(node, scene.config());
      const outsideMac = (await scene.outside.link("eth0"))!.address;
      const unicast = new RegExp(`^${mac} > ${outsideMac}.*${ip4}\\.68 > 10\\.9\\.0\\.1\\.67`);
      await capture.line(unicast);
      await daemon.line(/renewed/);
      // from now on the server does not hear what is said to it alone
      const rule = "add rule netdev f i ip daddr 10.9.0.1 udp dport 67 drop";
      await scene.outside.must(
        "nft",
        `add table netdev f; add chain netdev f i { type filter hook ingress device eth0 priority 0; }; ${rule}`,
      );
      const from = [capture.lines.length, daemon.lines.length];
      await capture.line(unicast, { from: from[0]! });
      await capture.line(new RegExp(`^${mac} > ff:ff:ff:ff:ff:ff.*${ip4}\\.68 > 255\\.255\\.255\\.255\\.67`));
      expect(await daemon.line(/renewed/, { from: from[1]! })).toContain("by 10.9.0.1 for 120 s");
      await node.succeed("DEL", call);
    },

    "a server that refuses it (NAK) is asked anew, for the same address; what it says besides is passed over": async (
      scene,
    ) => {
      const server = await scene.hostile();
      const daemon = await scene.daemon(...SOON);
      const attached = await attach(scene.node, scene.config());
      expect(attached.ip4).toBe("10.9.0.50");
      await daemon.line(/refuses to renew it \(NAK: not yours\); asking anew/);
      await server.line(/DISCOVER for 10\.9\.0\.50/);
      await daemon.line(/renewed 10\.9\.0\.50/);
      expect(await complaint(scene.node, attached)).toBe("");
      expect(await attached.pod.ping("10.9.0.1")).toBe(true);
    },

    "where only another address can be had it is lost: the pod has it no more, CHECK says so": async (scene) => {
      const { node, dnsmasq, daemon } = await served(scene, {
        server: times(3, 6),
        daemon: [...SOON, "--resendtimeout", "3s"],
      });
      const attached = await attach(node, scene.config());
      await dnsmasq.stop();
      await scene.outside.ip("address add 10.8.0.1/24 dev eth0");
      await scene.outside.ip("address del 10.9.0.1/24 dev eth0");
      await scene.outside.ip("address add 10.9.0.1/32 dev eth0");
      await scene.dnsmasq("--dhcp-authoritative", "--dhcp-range=10.8.0.100,10.8.0.150,255.255.255.0,120s");
      await daemon.line(/refuses to renew it \(NAK/);
      await daemon.line(/is lost: .*10\.8\.0\.1\d\d of server 10\.8\.0\.1 is offered in place.*taken from the pod/);
      expect(await attached.pod.addresses("eth0")).toEqual([]);
      expect(await complaint(node, attached)).toMatch(/the lease of 10\.9\.0\.\d+\/24 is lost/);
      await node.succeed("DEL", attached.call);
      expect(scene.kept()).toEqual([]);
    },

    "one that is over is taken from the pod, and CHECK says so; by kea": async (scene) => {
      const { node } = scene;
      const kea = await scene.kea({ "valid-lifetime": 12, "renew-timer": 2, "rebind-timer": 8 });
      const daemon = await scene.daemon("--timeout", "500ms");
      const attached = await attach(node, scene.config());
      await kea.line(/DHCP4_LEASE_ALLOC/);
      await daemon.line(/renewed/);
      await kea.stop();
      await daemon.line(/is lost: it is over, and no server renewed it; the address was taken from the pod/);
      expect(await attached.pod.addresses("eth0")).toEqual([]);
      expect(await complaint(node, attached)).toMatch(/is lost: it is over/);
      await node.succeed("DEL", attached.call);
    },

    "kea: ADD, CHECK, renewal, and DEL releases it": async (scene) => {
      const kea = await scene.kea({ "valid-lifetime": 100, "renew-timer": 2, "rebind-timer": 50 });
      const daemon = await scene.daemon();
      const attached = await attach(scene.node, scene.config());
      expect(await attached.pod.ping("10.9.0.1")).toBe(true);
      await daemon.line(/renewed/);
      expect(await complaint(scene.node, attached)).toBe("");
      await scene.node.succeed("DEL", attached.call);
      await kea.line(/DHCP4_RELEASE .*10\.9\.0\.\d+/);
    },

    "a daemon that is killed and started again goes on with it, and a stale socket is no hindrance": async (scene) => {
      const { node, dnsmasq, daemon } = await served(scene, { server: times(3, 100) });
      const attached = await attach(node, scene.config());
      await daemon.stop();
      const from = dnsmasq.lines.length;
      const next = await scene.daemon();
      await next.line(/goes on with 1 lease/);
      await next.line(/renewed/);
      await dnsmasq.line(new RegExp(`DHCPACK.*${attached.ip4}`), { from });
      expect(await complaint(node, attached)).toBe("");
      const other = new Process(node, executable, ["dhcp-daemon", "--socketpath", scene.socketPath]);
      await other.line(/another podwire dhcp-daemon keeps the leases/);
      await node.succeed("DEL", attached.call);
      await scene.hasLeased([]);
    },

    "a pod that is gone ends it": async (scene) => {
      const { node, daemon } = await served(scene, { server: times(3, 100) });
      const attached = await attach(node, scene.config());
      await attached.pod.remove();
      await daemon.line(/the pod is gone, and the lease with it/);
      expect(scene.kept()).toEqual([]);
      await node.succeed("DEL", { ...attached.call, netns: "" });
    },
  });
});
