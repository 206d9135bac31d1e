import { describe, expect, test } from "vitest";
import { wireCached } from "../harness/cached.ts";
import { example } from "./examples.ts";
import { type Call, Node, temporaryFolder, type Verb } from "./harness.ts";
import { create, list, repair } from "./repair-world.ts";

// What `podwire repair` says, and what it leaves alone; what it mends is in repair.test.ts and repair-kinds.test.ts.

describe("podwire repair", () => {
  test("mends only the pod that is named, and says the same as JSON", async () => {
    const world = await create("ptp");
    await world.node.must("nft", "flush map inet podwire masquerade4");
    const { stdout, exitCode } = await repair(world, "default/web", "--json");
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      dryRun: false,
      attachments: [
        {
          containerId: "web",
          pod: { namespace: "default", name: "web-1" },
          known: "podwire",
          steps: ["write the masquerading of 10.9.0.2, fd00:9::2"],
          left: [],
        },
      ],
    });
    expect((await repair(world, "other", "--dry-run")).stdout).toMatch(
      /^other: would write the masquerading of 10.9.0.3/,
    );
    expect(await repair(world, "nobody")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("no pod is nobody") as string,
    });
  });

  test("says what it would do, in 80 columns", async () => {
    const world = await create("bridge");
    await world.node.ip("link delete br0");
    await world.node.must("nft", "flush ruleset");
    await world.web.ip("link set eth0 down");
    await world.other.ip("link delete eth0");
    const { said, kept } = example("repair.txt", (await repair(world, "--dry-run")).stdout);
    expect(said).toBe(kept);
  });

  test("tells that a pod without its link must be restarted, and mends the others", async () => {
    const world = await create("bridge");
    await world.web.ip("link delete eth0");
    await world.node.must("nft", "flush ruleset");
    const { stdout, exitCode } = await repair(world);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^other: wrote the masquerading of 10\.9\.0\.3/m);
    expect(stdout.replace(/\s+/g, " ")).toMatch(
      /default\/web-1: differs: link veth\w+ on the host is gone: .*restart the pod/,
    );
  });

  test("touches no namespace but the one ADD wired", async () => {
    const world = await create("ptp");
    const { name } = world.web;
    const kept = `${name}-kept`;
    await world.node.must("sh", "-ec", `touch /run/netns/${kept}; mount --bind /run/netns/${name} /run/netns/${kept}`);
    await world.web.remove();
    await world.node.must("ip", "netns", "add", name);
    const { stdout, exitCode } = await repair(world, "web");
    expect([exitCode, stdout.replace(/\s+/g, " ")]).toEqual([
      1,
      `default/web-1: differs: /run/netns/${name} is another namespace than the one ADD wired: restart the pod ` +
        "1 attachment differs still. ",
    ]);
    await world.node.must("ip", "netns", "delete", kept);
    await world.node.must("ip", "netns", "delete", name);
  });

  test("leaves what others made alone, and names it", async () => {
    const world = await create("ptp");
    const { node, folder } = world;
    const theirs = await node.pod();
    const network = list(node.dataDir, {
      type: "ptp",
      ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.8.0.0/24" },
    });
    const reference = async (verb: Verb, call: Call) => node.reference(verb, call);
    await wireCached(
      node,
      { ...network, name: "theirs" },
      { containerId: "theirs", netns: theirs, folder, run: reference },
    );
    await theirs.ip("route flush dev eth0");
    const { stdout, exitCode } = await repair(world);
    expect([exitCode, stdout]).toEqual([
      0,
      "left alone, as another plugin made it: theirs\nNothing to do in 3 pods.\n",
    ]);
    expect(await theirs.routes()).toEqual([]);
  });

  test("takes no address or route that is somebody else's by now", async () => {
    const world = await create("ptp");
    const { node } = world;
    await node.ip("link add stranger type bridge");
    await node.ip("link set stranger up");
    await node.ip("route delete 10.9.0.2");
    await node.ip("route add 10.9.0.2 dev stranger scope host");
    const { stdout, exitCode } = await repair(world);
    expect(exitCode).toBe(1);
    expect(stdout.replace(/\s+/g, " ")).toContain("it leads to link stranger, which is none of podwire's");
    expect(await node.ip("route show 10.9.0.2")).toContain("dev stranger");
  });

  test("without a cached result sets the link up, and says that no more is known", async () => {
    const world = await create("ptp");
    await world.node.ip(`link set ${world.link} down`);
    const elsewhere = { node: world.node, folder: temporaryFolder("nothing") };
    const { stdout, exitCode } = await repair(elsewhere);
    expect(exitCode).toBe(2);
    expect(stdout).toMatch(new RegExp(`^default/web-1: set link ${world.link} up$`, "m"));
    expect(stdout.replace(/\s+/g, " ")).toMatch(/not known what it should be, as \S+ has no result of it/);
    expect((await world.node.link(world.link))?.flags).toContain("UP");
  });

  test("mends a macvlan's addresses, and a guarded MAC", async () => {
    const node = await Node.create();
    await node.outside();
    const folder = temporaryFolder("results");
    const [one, two] = [await node.pod(), await node.pod()];
    const ipam = { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24" };
    const network = (plugin: Record<string, unknown>) => ({
      ...list(node.dataDir, { ...plugin, ipMasq: false, ipam }),
      name: "net",
    });
    const macvlan = network({ type: "macvlan", master: "uplink" });
    await wireCached(
      node,
      { ...macvlan, plugins: macvlan.plugins.slice(0, 1) },
      { containerId: "one", netns: one, folder },
    );
    await wireCached(node, network({ type: "bridge", bridge: "br0", macspoofchk: true }), {
      containerId: "two",
      netns: two,
      folder,
    });
    await one.ip("address flush dev eth0");
    await one.ip("link set eth0 mtu 1400");
    await node.must("nft", "delete table bridge podwire");
    expect((await repair({ node, folder })).stdout).toMatch(/mended in 2 of 2 pods/);
    expect(await one.addresses("eth0")).toEqual(["10.9.0.2/24"]);
    expect((await repair({ node, folder })).stdout).toBe("Nothing to do in 2 pods.\n");
  });
});
