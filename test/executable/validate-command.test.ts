import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { example } from "./examples.ts";
import { confFolder, executable, loadConf, Node, podwireFolder, temporaryFolder } from "./harness.ts";
import { containerd, findings, ipam, program, validateOn } from "./validate-call.ts";

let node: Node;
let folder: string;
beforeEach(async () => {
  node = await Node.create();
  folder = temporaryFolder("net.d");
});

const validate = async (args: string[], more: Parameters<typeof validateOn>[2] = {}) => validateOn(node, args, more);

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

const network = (name: string, subnet: string, more: object = {}) => ({
  cniVersion: "1.0.0",
  name,
  plugins: [{ type: "bridge", ipam: { ...ipam, ranges: [[{ subnet }]], dataDir: node.dataDir }, ...more }],
});

describe("podwire validate", () => {
  // what each needs of a node, its kernel and its daemons is not everywhere
  const files = readdirSync(confFolder).filter((name) => /\.(json|conflist)$/.test(name));
  test.each(files)("finds nothing wrong with a configuration podwire comes with: %s", async (name) => {
    const outcome = await validate([join(confFolder, name), "--file-only"]);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: "" });
    const { name: network, cniVersion, plugins } = loadConf(name);
    expect(findings(outcome).map((line) => line.replace(/.*?: fine/, "fine"))).toEqual([
      `fine, network ${network}, cniVersion ${cniVersion}, ${plugins.map(({ type }) => type).join(", ")}`,
    ]);
  });

  test("says all that is wrong at once, with line and column, in 80 columns", async () => {
    const input = `{
  "cniVersion": "1.0.0",
  "name": "pods", "disableChek": true,
  "plugins": [
    {
      "type": "bridge",
      "isGatway": true,
      "mtu": "1500",
      "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.9.0.0/24", "gateway": "x" }]], "colour": 1 }
    },
    { "type": "otherwise", "capabilities": { "bandwidth": "yes" } },
    { "type": "portmap" },
    {}
  ]
}`;
    const path = file("10-pods.conflist", input);
    const outcome = await validate([path]);
    expect(outcome).toMatchObject({ exitCode: 1, stderr: "" });
    const piped = (await validate(["-"], { input })).stdout;
    const { said, kept } = example("validate.txt", piped.replaceAll(podwireFolder(), "/opt/cni/bin-with-plugins"));
    expect(said).toBe(kept);
    expect(findings(outcome)).toEqual([
      "3:19 warning: disableChek is unknown; disableCheck?",
      "7:7 warning: plugins[0].isGatway is unknown; isGateway?",
      '8:14 plugins[0].mtu is "1500", must be a whole number from 0 to 65535',
      '9:89 plugins[0].ipam.ranges[0][0].gateway is "x", must be an IP address',
      "9:98 warning: plugins[0].ipam.colour is unknown: nothing reads it",
      `11:5 plugins[1]: otherwise is not in ${podwireFolder()}`,
      '11:59 plugins[1].capabilities.bandwidth is "yes", must be true or false',
      "12:5 warning: plugins[2].capabilities has no portMappings that is true: no runtime tells portmap which ports to map",
      "13:5 plugins[3].type is missing, must be the name of a plugin's executable",
      "5 problems, 4 warnings.",
    ]);
    expect(outcome.stdout).toContain(`${path}:7:7`);
    const long = outcome.stdout.split("\n").filter((line) => line.length > 80);
    expect(long.filter((line) => line.trim().includes(" "))).toEqual([]);
  });

  test("reads standard input, says where JSON ends to be JSON, and has it all as JSON", async () => {
    const outcome = await validate(["-", "--json"], { input: '{\n  "name": "a"\n  "type": "ptp" }' });
    expect(outcome.exitCode).toBe(1);
    expect(JSON.parse(outcome.stdout)).toEqual({
      files: [
        {
          file: "-",
          findings: [
            { line: 3, column: 3, path: "", text: 'no JSON: expected "," or "}", found "\\""', isWarning: false },
          ],
        },
      ],
    });
    expect(findings(await validate(["-"], { input: "[]" }))).toEqual(["-:1:1 it must be an object", "1 problem."]);
  });

  test.each([
    [{ cniVersion: "1.0.0", plugins: [{ type: "loopback" }] }, "name is missing, must be the network's name"],
    [{ Name: "n", cniVersion: "1.0.0", plugins: [{ type: "loopback" }] }, "name is missing"],
    [{ name: "a b", cniVersion: "1.0.0", plugins: [{ type: "loopback" }] }, 'name is "a b", must be a letter or digit'],
    [
      { name: "n", cniVersion: "9.0.0", plugins: [{ type: "loopback" }] },
      'cniVersion is "9.0.0", must be one of "0.1.0"',
    ],
    [{ name: "n", plugins: [{ type: "loopback" }] }, "warning: cniVersion is missing, which means 0.1.0"],
    [
      { name: "n", cniVersion: "1.0.0", cniVersions: ["1.x"], plugins: [{ type: "loopback" }] },
      'cniVersions[0] is "1.x"',
    ],
    [{ name: "n", cniVersion: "1.0.0", plugins: [] }, "plugins is [], must be a list of at least one"],
    [{ name: "n", cniVersion: "1.0.0", loadOnlyInlinedPlugins: true }, "plugins is missing"],
    [{ name: "n", cniVersion: "1.0.0" }, "plugins is missing, and no "],
    [
      { name: "n", cniVersion: "1.0.0", disableGC: 1, plugins: [{ type: "loopback" }] },
      "disableGC is 1, must be true or",
    ],
    [
      { name: "n", cniVersion: "1.0.0", plugins: [{ type: "portmap", capabilities: { portMappings: true } }] },
      'plugins[0].type is "portmap", which goes on from what an earlier plugin of a list made, so it cannot be the first',
    ],
    [
      { name: "n", cniVersion: "1.0.0", type: "bridge", hairpinMode: true, promiscMode: true },
      "promiscMode is true, must not be true together with hairpinMode",
    ],
    [{ name: "n", cniVersion: "1.0.0", type: "ptp" }, "ipam.type: ptp needs an IPAM plugin"],
    [
      {
        name: "n",
        cniVersion: "1.0.0",
        type: "ptp",
        ipam: { type: "host-local", ranges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "10.1.0.0/25" }]] },
      },
      "overlap",
    ],
  ])("%j is found wrong", async (content, expected) => {
    const outcome = await validate([file("n.conflist", content), "--file-only"]);
    expect(outcome.exitCode).toBe(1);
    expect(findings(outcome).join("\n")).toContain(expected);
  });

  test("takes the highest of several versions that is known, and ranges that a runtime gives", async () => {
    const plugins = [{ type: "ptp", capabilities: { ipRanges: true }, ipam: { type: "host-local" } }];
    const content = { name: "n", cniVersion: "0.4.0", cniVersions: ["1.0.0", "2.0.0"], plugins, disableCheck: "TRUE" };
    const outcome = await validate([file("n.conflist", content), "--file-only"]);
    expect(outcome).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/cniVersion 1\.0\.0,\s+ptp/) as unknown,
    });
  });

  test("reads the further plugins of a network in the folder of its name", async () => {
    mkdirSync(join(folder, "n"));
    const list = file("n.conflist", { name: "n", cniVersion: "1.0.0", plugins: [{ type: "loopback" }] });
    const more = file("n/10-ports.conf", { type: "portmap", capabilities: { portMappings: true }, snatt: true });
    expect(await validate([list])).toMatchObject({
      exitCode: 1,
      stdout: expect.stringMatching(new RegExp(`^${more}:1:56  warning: snatt is unknown;\\s+snat\\?`, "m")) as unknown,
    });
  });

  test("says which plugins are missing, or do not speak the version", async () => {
    const bin = temporaryFolder("bin");
    symlinkSync(executable, join(bin, "bridge"));
    program(join(bin, "old"), 'echo \'{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}\'');
    program(join(bin, "broken"), "exit 1");
    const types = ["bridge", "old", "broken", "bandwidth"].map((type) => ({
      type,
      ...(type === "bridge" && { ipam: { type: "whereabouts" } }),
    }));
    const path = file("n.conflist", { cniVersion: "1.0.0", name: "n", plugins: types });
    const outcome = await node.run(executable, ["validate", path, "--conf-dir", "/nowhere"], {
      env: { CNI_PATH: `/nowhere:${bin}`, PATH: containerd("v2.0.0") },
    });
    expect(findings(outcome).map((line) => line.replace(/^\S+ /, ""))).toEqual([
      `plugins[0].ipam.type: whereabouts is not in /nowhere, ${bin}`,
      `plugins[1]: ${bin}/old does not speak cniVersion 1.0.0, only 0.3.1, 0.4.0`,
      `plugins[2]: ${bin}/broken does not answer VERSION`,
      `plugins[3]: bandwidth is not in /nowhere, ${bin}`,
      "problems.",
    ]);
  });

  test.each([
    ["1.6.20~ds1", "1.1.0", "containerd 1.6.20~ds1"],
    ["v1.5.9", "1.0.0", "reads results up to 0.4.0"],
    ["v1.7.24", "1.0.0", undefined],
    ["v2.1.4", "1.1.0", undefined],
  ])("containerd %s and cniVersion %s", async (version, cniVersion, expected) => {
    const path = file("n.json", { cniVersion, name: "n", type: "loopback" });
    const outcome = await validate([path], { PATH: containerd(version) });
    expect(outcome.exitCode).toBe(expected === undefined ? 0 : 1);
    if (expected !== undefined) expect(findings(outcome)[0]).toContain(expected);
  });

  test("finds addresses that another network of the node, or of the command line, hands out", async () => {
    const confDir = temporaryFolder("conf");
    writeFileSync(join(confDir, "20-other.conflist"), JSON.stringify(network("other", "10.9.0.128/25")));
    writeFileSync(join(confDir, "30-same.conflist"), JSON.stringify(network("pods", "10.9.0.0/24")));
    const path = file("10-pods.conflist", network("pods", "10.9.0.0/24"));
    const third = file("third.conflist", network("third", "10.9.0.0/30"));
    const outcome = await validate([path, third], { confDir });
    expect(findings(outcome).map((line) => line.replace(/^\S+ /, ""))).toEqual([
      "warning: plugins[0].ipam: network other (20-other.conflist) hands out addresses of 10.9.0.1-10.9.0.254 too",
      `warning: plugins[0].ipam: network pods (${path}) hands out addresses of 10.9.0.1-10.9.0.2 too`,
      "warning: plugins[0].ipam: network pods (30-same.conflist) hands out addresses of 10.9.0.1-10.9.0.2 too",
      "warnings.",
    ]);
    const own = join(confDir, "20-other.conflist");
    expect((await validate([own], { confDir })).stdout).not.toContain("network other");
  });

  test("asks the kernel for what is needed of it, and says where it may not", async () => {
    const path = file("n.conflist", {
      ...network("n", "10.9.0.0/24"),
      plugins: [{ type: "ptp", ipam: { ...ipam, dataDir: "/etc/hostname/leases" } }],
    });
    expect(findings(await validate([path]))[0]).toMatch(/plugins\[0\]: ipam\.dataDir is "\/etc\/hostname\/leases"/);
    const asUser = ["--reuid=65534", "--regid=65534", "--clear-groups", "--", executable, "validate", "-"];
    const outcome = await node.run("setpriv", [...asUser, "--bin-dir", podwireFolder()], {
      env: { PATH: containerd("v2.0.0") },
      input: JSON.stringify(network("n", "10.9.0.0/24")),
    });
    expect(outcome.stdout).toMatch(/^The kernel was not asked .* takes root\.$/m);
  });

  test("changes nothing", async () => {
    const before = [await node.snapshot(), node.leases({ all: true })];
    await validate([file("n.conflist", network("n", "10.9.0.0/24", { ipMasq: true, isGateway: true }))]);
    expect([await node.snapshot(), node.leases({ all: true })]).toEqual(before);
  });

  test.each([
    [[], "FILE is missing"],
    [["/nowhere/file"], "/nowhere/file"],
    [["/etc"], "no plain file"],
  ])("cannot look: %j", async (args, expected) => {
    const outcome = await validate(args);
    expect([outcome.exitCode, outcome.stdout]).toEqual([2, ""]);
    expect(outcome.stderr).toContain(expected);
  });
});
