import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { programs } from "./configs.ts";
import { type CniResult, executable, type Namespace, Node, temporaryFolder } from "./harness.ts";

let node: Node;
let pod: Namespace;
let folder: string;
let cache: string;
beforeEach(async () => {
  node = await Node.create();
  pod = await node.pod();
  folder = temporaryFolder("net.d");
  cache = temporaryFolder("cni");
});

const portmap = { type: "portmap", capabilities: { portMappings: true } };
const ptp = () => ({
  type: "ptp",
  ipMasq: true,
  ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24", routes: [{ dst: "0.0.0.0/0" }] },
});

function file(content: object, name = "pods.conflist"): string {
  writeFileSync(join(folder, name), JSON.stringify(content));
  return join(folder, name);
}
const list = (more: object = {}): string =>
  file({ cniVersion: "1.1.0", name: "pods", plugins: [ptp(), portmap], ...more });

const run = async (verb: string, conflist: string, ...args: string[]) =>
  node.run(executable, ["run", verb, conflist, "--cache-dir", cache, "--bin-dir", "/nowhere", ...args], { env: {} });
const kept = (): string[] => (existsSync(join(cache, "results")) ? readdirSync(join(cache, "results")) : []);
const lines = ({ stdout }: { stdout: string }): string => stdout.replaceAll(/\s+/g, " ").trim();

describe("podwire run", () => {
  test("adds, checks and removes a pod with mapped ports, as a runtime would, without a plugin folder", async () => {
    const outside = await node.outside();
    const path = list();
    const before = await node.snapshot();
    expect(await run("status", path)).toMatchObject({ exitCode: 0, stdout: "network pods: its plugins are ready\n" });
    const added = await run("add", path, pod.path, "--port", "8080:80/tcp", "--container-id", "one");
    expect(added).toMatchObject({ exitCode: 0, stderr: "" });
    expect(lines(added)).toBe(`${pod.path} eth0 of network pods: 10.9.0.2/24 by 10.9.0.1`);
    expect(kept()).toEqual(["pods-one-eth0"]);
    await pod.listen(80, { name: "pod" });
    expect(await outside.connect(outside.node4, 8080)).toMatchObject({ server: "pod", to: "10.9.0.2" });
    const one = [path, pod.path, "--container-id", "one"] as const;
    expect(await run("check", ...one)).toMatchObject({ exitCode: 0, stderr: "" });
    await pod.ip("route delete default");
    const faulty = await run("check", ...one);
    expect(faulty).toMatchObject({ exitCode: 1, stderr: "" });
    expect(lines(faulty)).toMatch(/^network pods: plugin ptp failed CHECK, code 999: .*0\.0\.0\.0\/0/);
    expect(await run("del", ...one)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(kept()).toEqual([]);
    expect(node.leases()).toEqual({});
    expect((await node.links()).filter(({ ifname }) => ifname.startsWith("veth"))).toEqual([]);
    expect((await node.snapshot()).links).toEqual(before.links);
    expect(lines(await run("del", ...one))).toMatch(/nothing of it was kept$/);
  });

  test("takes a namespace by its name, another interface, and prints the result as JSON", async () => {
    const { exitCode, stdout } = await run(
      "add",
      list(),
      pod.path.replace("/run/netns/", ""),
      "--ifname",
      "net1",
      "--json",
    );
    expect(exitCode).toBe(0);
    const result = JSON.parse(stdout) as CniResult;
    expect(result).toMatchObject({
      cniVersion: "1.1.0",
      interfaces: expect.arrayContaining([expect.objectContaining({ name: "net1", sandbox: pod.path })]) as unknown,
    });
    const [name] = kept();
    expect(name).toMatch(/^pods-cnitool-[0-9a-f]{20}-net1$/);
    const cached = JSON.parse(readFileSync(join(cache, "results", name!), "utf8")) as Record<string, string>;
    expect(cached).toMatchObject({ kind: "cniCacheV1", networkName: "pods", ifName: "net1", netns: pod.path, result });
    expect(Buffer.from(cached.config!, "base64").toString()).toBe(readFileSync(list(), "utf8"));
    expect(await pod.addresses("net1")).toEqual(["10.9.0.2/24"]);
  });

  test("hands each plugin its own: result so far, capabilities it has, arguments; what add was told on del too", async () => {
    const record = (answer: string) =>
      `{ echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS"; cat; echo; } >> "$0.log"; ${answer}`;
    const bin = programs({
      first: record(`[ $CNI_COMMAND != ADD ] || echo '{"ips":[{"address":"10.7.0.5/24"}],"vendor":1}'`),
      second: record(`[ $CNI_COMMAND != ADD ] || echo '{"cniVersion":"1.0.0","ips":[{"address":"10.7.0.6/24"}]}'`),
    });
    const plugins = [
      { type: "first", capabilities: { ips: true } },
      { type: "second", capabilities: { ips: false }, own: 1 },
    ];
    const path = file({ cniVersion: "0.4.0", cniVersions: ["1.0.0"], name: "pods", plugins });
    const call = [path, pod.path, "--container-id", "one", "--bin-dir", bin] as const;
    const options = ["--cap", 'ips=["10.7.0.5"]', "--arg", "IgnoreUnknown=1", "--arg", "K8S_POD_NAME=web"];
    expect(lines(await run("add", ...call, ...options))).toMatch(/: 10\.7\.0\.6\/24$/);
    expect(await run("check", ...call)).toMatchObject({ exitCode: 0 });
    expect(await run("del", ...call)).toMatchObject({ exitCode: 0 });
    const calls = (type: string) =>
      readFileSync(join(bin, `${type}.log`), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => (line.startsWith("{") ? (JSON.parse(line) as unknown) : line));
    const who = `one ${pod.path} eth0 IgnoreUnknown=1;K8S_POD_NAME=web`;
    const base = { name: "pods", cniVersion: "1.0.0" };
    const own = { ...plugins[0], ...base, runtimeConfig: { ips: ["10.7.0.5"] } };
    const last = { cniVersion: "1.0.0", ips: [{ address: "10.7.0.6/24" }] };
    expect(calls("first")).toEqual([
      `ADD ${who}`,
      own,
      `CHECK ${who}`,
      { ...own, prevResult: last },
      `DEL ${who}`,
      { ...own, prevResult: last },
    ]);
    const first = { cniVersion: "1.0.0", ips: [{ address: "10.7.0.5/24" }], vendor: 1 };
    expect(calls("second")).toEqual([
      `ADD ${who}`,
      { ...plugins[1], ...base, prevResult: first },
      `CHECK ${who}`,
      { ...plugins[1], ...base, prevResult: last },
      `DEL ${who}`,
      { ...plugins[1], ...base, prevResult: last },
    ]);
  });

  test("says what a plugin said, and what to do with the half that was made", async () => {
    const bin = programs({ broken: `cat > /dev/null; echo '{"code":7,"msg":"no luck","details":"at all"}'; exit 1` });
    const path = list({ plugins: [ptp(), { type: "broken" }] });
    const outcome = await run("add", path, pod.path, "--bin-dir", bin);
    expect(outcome).toMatchObject({ exitCode: 1, stderr: "" });
    expect(lines(outcome)).toBe(
      "network pods: plugin broken failed ADD, code 7: no luck (at all). " +
        "What the plugins before it made is removed by podwire run del.",
    );
    expect(kept()).toEqual([]);
    const json = await run("add", path, (await node.pod()).path, "--bin-dir", bin, "--json");
    expect(JSON.parse(json.stdout)).toEqual({
      error: { plugin: "broken", verb: "ADD", code: 7, msg: "no luck", details: "at all" },
    });
  });

  test("gc removes what is kept of namespaces that are gone, and spares the others", async () => {
    const path = list();
    const gone = await node.pod();
    expect(await run("add", path, gone.path)).toMatchObject({ exitCode: 0 });
    expect(await run("add", path, pod.path)).toMatchObject({ exitCode: 0 });
    await gone.remove();
    const outcome = await run("gc", path);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: "" });
    expect(lines(outcome)).toBe(
      `${gone.path} eth0 of network pods: its namespace is gone 1 attachment removed, 1 attachment kept.`,
    );
    expect(Object.keys(node.leases())).toEqual(["pods/10.9.0.3"]);
    expect(kept()).toHaveLength(1);
    expect(await run("check", path, pod.path)).toMatchObject({ exitCode: 0 });
  });

  test("knows which verbs a version and a list have", async () => {
    const old = list({ cniVersion: "0.3.1" });
    expect(await run("add", old, pod.path)).toMatchObject({ exitCode: 0 });
    expect(await run("check", old, pod.path)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("cniVersion 0.3.1 has no CHECK, which came with 0.4.0") as unknown,
    });
    expect(lines(await run("status", old))).toContain("has no STATUS");
    expect(lines(await run("gc", old))).toContain("has no GC");
    expect(await run("del", old, pod.path)).toMatchObject({ exitCode: 0 });
    const off = list({ disableCheck: true, disableGC: true });
    expect(lines(await run("check", off, pod.path))).toContain("nothing was checked");
    expect(lines(await run("gc", off))).toContain("nothing was collected");
  });

  test("runs the further plugins of a network in the folder of its name, unless it is told not to", async () => {
    mkdirSync(join(folder, "pods"));
    file({ type: "missing" }, "pods/10-more.conf");
    const path = list({ plugins: [ptp()] });
    expect(lines(await run("add", path, pod.path))).toContain("there is no plugin missing in /nowhere");
    await run("del", list({ plugins: [ptp()], loadOnlyInlinedPlugins: true }), pod.path);
    expect(node.leases()).toEqual({});
    expect(await run("add", list({ plugins: [ptp()], loadOnlyInlinedPlugins: true }), pod.path)).toMatchObject({
      exitCode: 0,
    });
  });

  test.each([
    [["add"], "CONFLIST is missing"],
    [["install", "x"], 'VERB is "install", must be add, check, del, gc or status'],
    [["add", "/nowhere/x", "y"], "/nowhere/x"],
    [["add", "LIST"], "NETNS is missing"],
    [["add", "LIST", "x", "--port", "80"], '--port is "80", must be [ADDRESS:]HOST:POD'],
    [["add", "LIST", "x", "--cap", "ips"], "must be NAME=JSON"],
    [["add", "LIST", "x", "--cap", "ips=x"], "must be JSON"],
    [["add", "LIST", "x", "--arg", "=x"], "must be KEY=VALUE"],
    [["add", "LIST", "x", "--container-id", "a/b"], "--container-id"],
    [["add", "LIST", "x", "--ifname", "a/b"], "--ifname"],
    [["add", "WRONG", "x"], "see podwire validate"],
  ])("%j is refused, and changes nothing", async (args, expected) => {
    const before = await node.snapshot();
    const wrong = file({ cniVersion: "1.0.0", plugins: [] }, "wrong.conflist");
    const typed = args.map((arg) => (arg === "LIST" ? list() : arg === "WRONG" ? wrong : arg));
    const outcome = await node.run(executable, ["run", ...typed], { env: {} });
    expect([outcome.exitCode, outcome.stdout]).toEqual([2, ""]);
    expect(outcome.stderr).toContain(expected);
    expect(await node.snapshot()).toEqual(before);
  });

  test("says that arguments of a capability reach nobody", async () => {
    const outcome = await run("add", list({ plugins: [ptp()] }), pod.path, "--port", "[::1]:53:53/udp");
    expect(outcome).toMatchObject({
      exitCode: 0,
      stderr: expect.stringMatching(
        /^podwire run: no plugin of the network has the capability portMappings/,
      ) as unknown,
    });
  });
});
