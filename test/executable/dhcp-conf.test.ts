import { mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { available } from "../harness/requirements.ts";
import { DhcpScene, Process } from "./dhcp.ts";
import { confFolder, executable, loadConf, runList } from "./harness.ts";

const units = ["podwire-dhcp.socket", "podwire-dhcp.service"].map((name) => `${confFolder}/${name}`);
const [socketUnit, serviceUnit] = units.map((path) => readFileSync(path, "utf8"));
const valueOf = (unit: string | undefined, key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(unit!)![1]!;
const [program, ...args] = valueOf(serviceUnit, "ExecStart").split(" ");
const hasSystemd = available("systemd's programs", ["systemd-analyze", "systemd-socket-activate"]);

// what the service is to start
beforeAll(() => {
  mkdirSync("/opt/cni/bin", { recursive: true });
  symlinkSync(executable, program!);
});
afterAll(() => rmSync(program!));

test.runIf(hasSystemd)("the units of conf/ are what systemd takes", async () => {
  const { exitCode, all } = await execa("systemd-analyze", ["--man=no", "verify", ...units], {
    all: true,
    reject: false,
  });
  expect([exitCode, all]).toEqual([0, ""]);
});

/** How a daemon is started, in a node's namespace. */
const starts: [string, string[]][] = [["by hand", [executable, "dhcp-daemon"]]];
// as systemd does it: it listens in the daemon's place until somebody asks
if (hasSystemd) {
  const listen = `--listen=${valueOf(socketUnit, "ListenStream")}`;
  starts.push(["by its units", ["systemd-socket-activate", listen, program!, ...args]]);
}

describe.each(starts)("works as it stands, with a daemon that is started %s,", (_how, [command, ...more]) => {
  test.each(["dhcp.json", "macvlan-dhcp.json"])("conf/%s", async (file) => {
    const scene = await DhcpScene.make();
    const { node } = scene;
    const server = await scene.dnsmasq("--dhcp-option=option:router,10.9.0.1");
    mkdirSync("/run/cni", { recursive: true });
    const daemon = new Process(node, command!, more);
    await daemon.line(/listens at \/run\/cni\/dhcp\.sock|Listening on \/run\/cni\/dhcp\.sock/);
    const list = loadConf(file);
    const to = { containerId: "first", netns: await node.pod() };
    // by itself it needs a link that another plugin made
    const isAlone = file === "dhcp.json";
    if (isAlone) await node.ip(`link add link uplink name eth0 netns ${to.netns.name} type macvlan mode bridge`);
    const run = node.podwire.bind(node);
    const { result, stdout } = await runList(run, "ADD", list, to);
    expect(stdout).not.toContain('"code"');
    const [ip] = result!.ips!;
    await scene.hasLeased([ip!.address.replace("/24", "")]);
    if (isAlone) await to.netns.ip(`address add ${ip!.address} dev eth0`);
    expect(await to.netns.ping("10.9.0.1")).toBe(true);
    expect((await runList(run, "CHECK", list, { ...to, result: result! })).stdout).toBe("");
    for (let times = 0; times < 2; times++) {
      expect(await runList(run, "DEL", list, { ...to, result: result! })).toMatchObject({ exitCode: 0, stdout: "" });
    }
    await server.line(/DHCPRELEASE/);
    await scene.hasLeased([]);
    expect(await daemon.stop("SIGTERM")).toBe(0);
  });
});
