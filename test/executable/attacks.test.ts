import { execa } from "execa";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../harness/paths.ts";
import { attach, bridge, callFor, hostLocal, macvlan, ptp, refusal, v4 } from "./configs.ts";
import { executable, Node } from "./harness.ts";

// A hostile pod, forged arguments, a local user: what they must not get.

describe("files podwire writes as root", () => {
  test("the log goes into a plain file only: through no link, into no pipe, and ADD works all the same", async () => {
    const node = await Node.create();
    const folder = temporaryFolder("logs");
    writeFileSync(join(folder, "victim"), "precious\n");
    symlinkSync(join(folder, "victim"), join(folder, "link"));
    symlinkSync(join(folder, "new"), join(folder, "dangling"));
    await execa("mkfifo", [join(folder, "pipe")]);
    linkSync(join(folder, "victim"), join(folder, "name"));
    for (const name of ["link", "dangling", "pipe", "name"]) {
      const call = await callFor(node, bridge(node, { log: { file: join(folder, name) } }));
      const { stderr } = await node.succeed("ADD", call);
      expect(stderr).toContain("cannot write the log");
    }
    expect(readFileSync(join(folder, "victim"), "utf8")).toBe("precious\n");
    expect(() => statSync(join(folder, "new"))).toThrow("ENOENT");
    const { call } = await attach(node, bridge(node, { log: { file: join(folder, "plain") } }));
    expect(readFileSync(join(folder, "plain"), "utf8")).toContain(call.containerId!);
  });

  test("a resolvConf that is a pipe holds nobody up, and one behind a link is read", async () => {
    const node = await Node.create();
    const folder = temporaryFolder("resolv");
    await execa("mkfifo", [join(folder, "pipe")]);
    const config = (file: string) => bridge(node, { ipam: hostLocal(node, { ...v4, resolvConf: join(folder, file) }) });
    const error = await refusal(node, await callFor(node, config("pipe")));
    expect(error).toMatchObject({ code: 5, msg: expect.stringContaining("ipam.resolvConf") as unknown });
    writeFileSync(join(folder, "real"), "nameserver 10.1.0.1\n");
    symlinkSync("real", join(folder, "link"));
    expect((await attach(node, config("link"))).result.dns).toEqual({ nameservers: ["10.1.0.1"] });
  });

  test("records are nobody else's to list", async () => {
    const node = await Node.create();
    await attach(node, bridge(node));
    for (const path of [".podwire", ".podwire/net"]) {
      expect(statSync(join(node.dataDir, path)).mode & 0o777).toBe(0o700);
    }
  });
});

describe("names and values", () => {
  test("an interface name that is no UTF-8 is refused at ADD", async () => {
    const node = await Node.create();
    const { containerId, netns, config } = await callFor(node, bridge(node));
    const script = `CNI_IFNAME=$(printf 'e\\377h') CNI_COMMAND=ADD CNI_CONTAINERID=${containerId} CNI_NETNS=${(netns as { path: string }).path} exec ${executable}`;
    const { exitCode, stdout } = await node.run("sh", ["-c", script], {
      env: { PATH: "/usr/bin:/bin" },
      input: JSON.stringify(config),
    });
    expect([exitCode, JSON.parse(stdout)]).toMatchObject([
      1,
      { code: 4, msg: expect.stringContaining("CNI_IFNAME") as unknown },
    ]);
    expect(node.leases({ all: true })).toEqual({});
  });

  test("what a pod writes as alias of its link names no folder: DEL writes nothing elsewhere", async () => {
    const node = await Node.create();
    await node.outside();
    mkdirSync(join(node.dataDir, "elsewhere"));
    for (const make of [bridge, macvlan]) {
      for (const network of ["net/../elsewhere", "../..", "..", ".podwire", "a\u001b[2J", "elsewhere~"]) {
        const { call, pod, result } = await attach(node, make(node));
        await pod.ip("link delete eth0");
        await pod.ip("link add eth0 type bridge");
        await pod.must("ip", "link", "set", "eth0", "alias", `podwire ${network} ${call.containerId} eth0`);
        for (const type of ["portmap", "firewall", "bandwidth"]) {
          const config = { cniVersion: "1.1.0", name: "net", type, prevResult: result };
          await node.succeed("DEL", { ...call, plugin: type, config });
        }
        await node.succeed("DEL", call);
        expect(readdirSync(join(node.dataDir, "elsewhere"))).toEqual([]);
        expect(readdirSync(node.dataDir).toSorted()).toEqual([".podwire", "elsewhere", "net"]);
        expect(readdirSync(join(node.dataDir, ".podwire"))).toEqual(["net"]);
      }
    }
  });

  test("control characters reach no terminal: not in errors, the log, warnings or commands", async () => {
    const node = await Node.create();
    const evil = "a\u001b[2J\u009bm\u007f";
    const log = join(temporaryFolder("log"), "log");
    const refused = await node.podwire(
      "ADD",
      await callFor(node, bridge(node, { bridge: `br/${evil}`, log: { file: log } })),
    );
    const listed = await node.run(executable, ["leases", "--data-dir", `/nowhere/${evil}`], { env: {} });
    const typo = await node.run(executable, [evil], { env: {} });
    const all = refused.stdout + refused.stderr + readFileSync(log, "utf8") + listed.stderr + typo.stderr;
    // oxlint-disable-next-line no-control-regex -- they are what this is about
    expect(all).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
    expect(listed.stderr).toContain("\\x1b[2J");
  });

  test("control characters of an interface's name reach no drawing and no list", async () => {
    const node = await Node.create();
    await attach(node, bridge(node), { ifname: "e\u001b[2Jv\u009bl" });
    const folder = temporaryFolder("nothing");
    const places = ["--data-dir", node.dataDir, "--conf-dir", folder, "--results-dir", folder];
    const picture = join(folder, "map.svg");
    const commands = [
      "map",
      "map --json",
      "map --dot",
      "leases",
      "leases --json",
      "gc --dry-run",
      `map --svg ${picture}`,
    ];
    for (const line of commands) {
      const { stdout, stderr } = await node.run(executable, [...line.split(" "), ...places]);
      // oxlint-disable-next-line no-control-regex -- they are what this is about
      expect([line, stdout + stderr]).not.toMatchObject([line, expect.stringMatching(/[\0-\x08\x0b-\x1f\x7f-\x9f]/)]);
    }
    // oxlint-disable-next-line no-control-regex -- as above; XML has no way to write them
    expect(readFileSync(picture, "utf8")).not.toMatch(/[\0-\x08\x0b-\x1f\x7f-\x9f]/);
  });

  test("values of arguments and configurations do not go into the log", async () => {
    const node = await Node.create();
    const file = join(temporaryFolder("log"), "log");
    const config = (more: object) => bridge(node, { log: { file }, ...more });
    const calls = [
      await callFor(node, config({}), { args: "token=hush-one" }),
      await callFor(node, config({}), { args: "MAC=hush-two" }),
      await callFor(node, config({ mtu: "hush-three", dns: { nameservers: "hush-four, must be" } })),
      await callFor(node, config({ ipam: hostLocal(node, { subnet: "hush-five" }) })),
    ];
    for (const call of calls) expect((await refusal(node, call)).msg).toContain("hush");
    const log = readFileSync(file, "utf8");
    expect(log).not.toContain("hush");
    for (const word of ["CNI_ARGS", "mtu", "dns.nameservers", "ipam.subnet"]) expect(log).toContain(word);
  });
});

describe("podwire leases", () => {
  test("as an ordinary user says what it cannot read, and what to do; nothing tells anybody to delete a file", async () => {
    const node = await Node.create();
    const { ip4 } = await attach(node, bridge(node));
    chmodSync(node.dataDir, 0o755);
    const asUser = ["--reuid=65534", "--regid=65534", "--clear-groups", "--", executable, "leases"];
    const { stdout, exitCode } = await node.run("setpriv", [
      ...asUser,
      "--data-dir",
      node.dataDir,
      "--conf-dir",
      "/nowhere",
    ]);
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(new RegExp(`${ip4}.*unreadable`))]);
    mkdirSync(join(node.dataDir, "closed"), { mode: 0o700 });
    const closed = await node.run("setpriv", [...asUser, "--data-dir", join(node.dataDir, "closed", "networks")]);
    expect(closed.stderr).toMatch(/permission denied.*run this as root/);
    const help = await node.run(executable, ["leases", "--help"]);
    expect(help.stdout).not.toMatch(/delete/);
  });

  test("beside it the map shows an ordinary user the pods by their links, and says which results it cannot read", async () => {
    const node = await Node.create();
    const { hostVeth } = await attach(node, bridge(node));
    const [confDir, results] = [temporaryFolder("conf"), temporaryFolder("results")];
    for (const folder of [node.dataDir, confDir, results]) chmodSync(folder, 0o755);
    writeFileSync(join(results, "net-pod-eth0"), "{}", { mode: 0o600 });
    const places = ["--data-dir", node.dataDir, "--conf-dir", confDir, "--results-dir", results];
    const asUser = ["--reuid=65534", "--regid=65534", "--clear-groups", "--", executable];
    const { stdout } = await node.run("setpriv", [...asUser, "map", ...places]);
    expect(stdout.replaceAll(/\s+/g, " ")).toMatch(
      new RegExp(`1 pod .*${hostVeth}.*net-pod-eth0: it cannot be read: .*run this as root`),
    );
  });

  test("release frees what is gone, refuses what lives, and asks for --force where it is not known", async () => {
    const node = await Node.create();
    const release = async (...args: string[]) =>
      node.run(executable, ["leases", "release", ...args, "--data-dir", node.dataDir]);
    const live = await attach(node, bridge(node));
    const gone = await attach(node, bridge(node));
    await gone.pod.ip("link delete eth0");
    await gone.pod.remove();
    writeFileSync(join(node.dataDir, "net/10.9.0.9"), "stranger\r\neth0");
    writeFileSync(join(node.dataDir, "net/10.9.0.10"), "");
    expect(await release(live.ip4)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(/in use by container/) as unknown,
    });
    expect(await release("10.9.0.9")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("--force") as unknown,
    });
    expect(await release("10.9.0.77")).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("not leased") as unknown,
    });
    expect(await release("nonsense")).toMatchObject({ exitCode: 2 });
    expect(await release(gone.ip4)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining(`released ${gone.ip4}`) as unknown,
    });
    expect(await release("10.9.0.9", "--force")).toMatchObject({ exitCode: 0 });
    expect(await release("10.9.0.10")).toMatchObject({ exitCode: 0 });
    expect(Object.keys(node.leases())).toEqual([`net/${live.ip4}`]);
    await node.succeed("DEL", live.call);
  });

  test("release refuses a file that is no lease where a live pod has the address", async () => {
    const node = await Node.create();
    const release = async (ip: string) =>
      node.run(executable, ["leases", "release", ip, "--force", "--data-dir", node.dataDir]);
    const [noted, gone] = [await attach(node, bridge(node)), await attach(node, bridge(node))];
    const ipam = hostLocal(node, { subnet: "10.8.0.0/24" });
    const routed = await attach(node, ptp(node, { name: "routed", ipam }));
    await gone.pod.ip("link delete eth0");
    await gone.pod.remove();
    rmSync(join(node.dataDir, ".podwire/routed"), { recursive: true });
    for (const { ip4, call } of [noted, gone, routed]) {
      writeFileSync(join(node.dataDir, call.config["name"] as string, ip4), "");
    }
    for (const { ip4 } of [noted, routed]) {
      expect(await release(ip4)).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining(`${ip4} is in use by`) as unknown,
      });
    }
    expect(await release(gone.ip4)).toMatchObject({ exitCode: 0 });
    expect(Object.keys(node.leases())).toEqual([`net/${noted.ip4}`, `routed/${routed.ip4}`]);
  });
});
