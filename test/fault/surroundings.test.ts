import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bridge, callFor, dualStack, programs, type Attached } from "../executable/configs.ts";
import { Node, podwireFolder, temporaryFolder, type Outcome, type Verb } from "../executable/harness.ts";
import { environment } from "../harness/invoke.ts";

// The environment is exactly the CNI variables: no PATH, no HOME. A shell sets the scene and becomes podwire.
const SCENE = { HOSTS_PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };

/**
 * Runs podwire where `scene`, shell text, has set it up; "$PODWIRE" is what runs it, with the CNI variables and nothing
 * else.
 */
async function inScene(node: Node, verb: Verb, call: Attached["call"], scene: string): Promise<Outcome> {
  const variables = Object.entries(environment(podwireFolder(), verb, call)).filter(([name]) =>
    name.startsWith("CNI_"),
  );
  const env = { ...SCENE, PATH: SCENE.HOSTS_PATH, SCENE_FILE: "" };
  const file = join(temporaryFolder("scene"), "podwire");
  writeFileSync(
    file,
    `#!/bin/sh\nexec /usr/bin/env -i ${variables.map(([name, value]) => `${name}='${value}'`).join(" ")} "$@" ${podwireFolder()}/${call.plugin}\n`,
  );
  chmodSync(file, 0o755);
  const config = join(temporaryFolder("scene"), "config.json");
  writeFileSync(config, JSON.stringify(call.config));
  return node.run("sh", ["-c", scene], {
    env: { ...env, PODWIRE: file, CONFIG: config, DATA: node.dataDir },
  });
}

const network = (node: Node) =>
  bridge(node, { isDefaultGateway: true, ipMasq: true, macspoofchk: true, ipam: dualStack(node) });

/** A folder with files that would run code or change settings if the executable read them, as some runtimes do. */
function hostileFolder(): string {
  const folder = temporaryFolder("hostile");
  const evil = join(folder, "evil.ts");
  const code = 'console.log("EVIL"); require("node:fs").writeFileSync(__dirname + "/was-run", "");';
  const files = {
    "evil.ts": code,
    "main.js": code,
    ".env": "CNI_COMMAND=DEL\nCNI_CONTAINERID=evil\nNODE_OPTIONS=--require=./evil.ts\nPODWIRE_LOG=./was-run\n",
    ".env.local": "CNI_COMMAND=DEL\n",
    "bunfig.toml": 'preload = ["./evil.ts"]\n',
    "package.json": `{"type":"commonjs","main":"./evil.ts","imports":{"#primitives":"${evil}"}}`,
    "tsconfig.json": '{"compilerOptions":{"paths":{"*":["./evil.ts"]},"jsxImportSource":"./evil.ts"}}',
    "libc.so.6": "no library",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** Variables by which loaders, C libraries and runtimes of JavaScript are told to take other code or other settings. */
const hostileVariables = (): string => {
  const folder = hostileFolder();
  return [
    "LD_PRELOAD=/nowhere.so",
    `LD_LIBRARY_PATH=${folder}`,
    "LD_BIND_NOW=1",
    "MALLOC_PERTURB_=170",
    "GLIBC_TUNABLES=glibc.malloc.check=3",
    "NODE_OPTIONS=--require=/nowhere.js",
    `NODE_PATH=${folder}`,
    `BUN_OPTIONS=--preload=${folder}/evil.ts`,
    `BUN_CONFIG_FILE=${folder}/bunfig.toml`,
  ].join(" ");
};

/** Scenes in which everything works. */
const scenes: [string, () => string][] = [
  ["an environment of CNI_* alone: no PATH, no HOME", () => '"$PODWIRE" < "$CONFIG"'],
  ["an empty PATH", () => '"$PODWIRE" PATH= < "$CONFIG"'],
  ["variables that ask for other code", () => `"$PODWIRE" ${hostileVariables()} < "$CONFIG"`],
  [
    "a current directory that is deleted",
    () => 'mkdir "$DATA/gone" && cd "$DATA/gone" && rmdir "$DATA/gone" && "$PODWIRE" < "$CONFIG"',
  ],
  [
    "a current directory nobody may read",
    () => '{ mkdir -m 000 "$DATA.closed" || true; } 2>/dev/null; cd "$DATA.closed" && "$PODWIRE" < "$CONFIG"',
  ],
  [
    "a current directory with hostile files",
    () => `cd ${hostileFolder()} && "$PODWIRE" < "$CONFIG" && ! test -e was-run`,
  ],
  [
    "a read-only root",
    () =>
      'unshare --mount --propagation private sh -c \'mount -o remount,bind,ro / 2>/dev/null || { mount --bind / /mnt && mount -o remount,bind,ro /mnt; }; "$PODWIRE" < "$CONFIG"\'',
  ],
  ["umask 077", () => 'umask 077; "$PODWIRE" < "$CONFIG"'],
  ["a terminal of 64 columns", () => '"$PODWIRE" COLUMNS=64 LINES=10 TERM=vt100 < "$CONFIG"'],
  ["16 file descriptors", () => '"$PODWIRE" /usr/bin/prlimit --nofile=16 -- < "$CONFIG"'],
  ["1 MB of stack and no core files", () => '"$PODWIRE" /usr/bin/prlimit --stack=1048576 --core=0 -- < "$CONFIG"'],
  ["another locale", () => '"$PODWIRE" LANG=tr_TR.UTF-8 LC_ALL=ja_JP.eucJP TZ=Pacific/Apia < "$CONFIG"'],
  ["closed standard error", () => '"$PODWIRE" < "$CONFIG" 2>&-'],
  ["standard error that is full", () => '"$PODWIRE" < "$CONFIG" 2>/dev/full'],
  ["a configuration that comes a byte at a time", () => 'dd if="$CONFIG" bs=1 2>/dev/null | "$PODWIRE"'],
  ["a reader that takes its time", () => '"$PODWIRE" < "$CONFIG" | { read -r first; echo "$first"; cat; }'],
];

describe("works as ever with", () => {
  test.each(scenes)("%s", async (_what, scene) => {
    const node = await Node.create();
    const call = await callFor(node, network(node));
    const before = await node.snapshot();
    const { exitCode, stdout, stderr } = await inScene(node, "ADD", call, scene());
    expect({ exitCode, stderr, stdout }).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining("10.9.0.2/24") as unknown,
    });
    const result = JSON.parse(stdout) as object;
    expect((await node.podwire("CHECK", { ...call, config: { ...call.config, prevResult: result } })).stdout).toBe("");
    expect((await inScene(node, "DEL", call, scene())).exitCode).toBe(0);
    const after = await node.snapshot();
    expect({
      leases: after.leases,
      routes: after.routes.length - before.routes.length,
      veths: after.links.filter(({ kind }) => kind === "veth"),
    }).toMatchObject({ leases: {}, veths: [] });
  });
});

/** Scenes in which ADD cannot work: what it says, and where. */
const failing: [string, string, RegExp][] = [
  ["closed standard input", '"$PODWIRE" <&-', /"code": [56],/],
  ["standard input that is a directory", '"$PODWIRE" < /', /"code": 5,/],
  // as in Go /dev/null is opened in its place: nobody hears the answer, and DEL cleans up
  ["closed standard output", '"$PODWIRE" < "$CONFIG" >&-; echo "exit $?"', /exit [01]/],
  ["standard output that is full", '"$PODWIRE" < "$CONFIG" >/dev/full', /cannot write to standard output/],
  ["a reader that is gone", '{ "$PODWIRE" < "$CONFIG"; echo "exit $?" >&2; } | true', /exit [01]/],
  ["files that may have no byte", '"$PODWIRE" /usr/bin/prlimit --fsize=0 -- < "$CONFIG"', /"code": 5,[^]*EFBIG/],
  ["files of 60 bytes at most", '"$PODWIRE" /usr/bin/prlimit --fsize=60 -- < "$CONFIG"', /"code": 5,[^]*EFBIG/],
  ["6 file descriptors", '"$PODWIRE" /usr/bin/prlimit --nofile=6 -- < "$CONFIG"', /"code": 11,/],
  // with 8 it works: each of these ends at another step
  ...[3, 4, 5, 6, 7].map((n): [string, string, RegExp] => {
    const scene = `"$PODWIRE" /usr/bin/prlimit --nofile=${n} -- < "$CONFIG"`;
    return [`${n} file descriptors, by name`, scene, /"code": 11,[^]*EMFILE/];
  }),
];

describe("says so with", () => {
  test.each(failing)("%s", async (_what, scene, said) => {
    const node = await Node.create();
    await node.succeed("ADD", await callFor(node, network(node)));
    const call = await callFor(node, network(node));
    const { stdout, stderr } = await inScene(node, "ADD", call, scene);
    expect(`${stdout}\n${stderr}`).toMatch(said);
    await node.succeed("DEL", call);
    expect(Object.keys(node.leases())).toEqual(["net/10.9.0.2", "net/fd00:9::2"]);
    expect((await node.links()).filter(({ linkinfo }) => linkinfo?.info_kind === "veth")).toHaveLength(1);
  });

  test("a user namespace that has no power over the host's network: a clear error, nothing changed", async () => {
    const node = await Node.create();
    const call = await callFor(node, network(node));
    const before = await node.snapshot();
    const { stdout, exitCode } = await inScene(
      node,
      "ADD",
      call,
      'exec unshare --user --map-root-user "$PODWIRE" < "$CONFIG"',
    );
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      code: expect.any(Number) as unknown,
      msg: expect.stringMatching(/not permitted|CAP_NET_ADMIN/) as unknown,
    });
    expect(await node.snapshot()).toEqual(before);
  });
});

test("a full pipe as standard output is waited for, and nothing of the result is lost", async () => {
  const node = await Node.create();
  const routes = Array.from({ length: 2_000 }, (_, at) => ({
    dst: `172.16.${at >> 8}.${at & 255}/32`,
    gw: "10.9.0.1",
  }));
  const call = await callFor(
    node,
    bridge(node, {
      isGateway: true,
      ipam: { type: "host-local", dataDir: node.dataDir, subnet: "10.9.0.0/24", routes },
    }),
  );
  const slowly = programs({ slowly: "/bin/sleep 1; exec /bin/cat" });
  const { stdout, exitCode } = await inScene(node, "ADD", call, `"$PODWIRE" < "$CONFIG" | ${slowly}/slowly`);
  expect(exitCode).toBe(0);
  expect((JSON.parse(stdout) as { routes: object[] }).routes).toHaveLength(2_000);
});
