import { describe, expect, test } from "vitest";
import { available } from "../harness/requirements.ts";
import { failure } from "./configs.ts";
import { call, complaint, nodeWithPod, rules, withoutPrevious } from "./firewall-calls.ts";
import { firewalldPrograms, nodeWithFirewalld } from "./firewalld.ts";
import { reference } from "./harness.ts";

// Pods as sources of a zone of firewalld.

describe.runIf(available("firewalld", firewalldPrograms))("firewalld", () => {
  test("no D-Bus: ADD fails and leaves nothing, and STATUS says so", async () => {
    const node = await nodeWithPod({});
    const before = await rules(node);
    const env = { DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/nowhere" };
    const given = { ...call({ backend: "firewalld" }), env };
    expect(failure(await node.podwire("ADD", given)).msg).toContain(
      "cannot add 10.9.0.5/32 to zone trusted of firewalld",
    );
    expect(await rules(node)).toBe(before);
    expect(failure(await node.podwire("STATUS", given))).toMatchObject({ code: 50 });
  });

  test("pods become sources of the zone, asked for or found", async () => {
    const { node, sources, env } = await nodeWithFirewalld();
    const found = { ...call({ ingressPolicy: "same-bridge" }), env };
    const asked = { ...call({ backend: "firewalld", firewalldZone: "internal" }, "1.1.0", 6), env };
    for (const each of [found, asked, asked]) await node.succeed("ADD", each);
    expect([await sources("trusted"), await sources("internal")]).toEqual([
      "10.9.0.5/32 fd00:9::5/128",
      "10.9.0.6/32 fd00:9::6/128",
    ]);
    for (const each of [found, asked]) expect(await complaint(node, each)).toBe("");
    expect(await complaint(node, { ...asked, config: { ...asked.config, firewalldZone: "work" } })).toContain(
      "10.9.0.6/32 is no source of zone work",
    );
    await node.succeed("STATUS", asked);
    expect(await node.succeed("DEL", { ...withoutPrevious(call()), env })).toMatchObject({ stderr: "" });
    const gc = call({
      backend: "firewalld",
      firewalldZone: "internal",
      prevResult: undefined,
      "cni.dev/valid-attachments": [],
    });
    await node.succeed("GC", { plugin: "firewall", config: gc.config, env });
    expect([await sources("trusted"), await sources("internal")]).toEqual(["", ""]);
  });

  test.runIf(reference.newest)("the reference's sources go as well", async () => {
    const { node, sources, env } = await nodeWithFirewalld();
    const made = await node.reference("ADD", { ...call({ backend: "firewalld" }), env });
    expect([made.exitCode, await sources("trusted")]).toEqual([0, "10.9.0.5/32 fd00:9::5/128"]);
    await node.succeed("DEL", { ...call(), env });
    expect(await sources("trusted")).toBe("");
  });
});
