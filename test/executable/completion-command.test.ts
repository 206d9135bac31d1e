import { lstatSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, test } from "vitest";
import { commands as table } from "../../src/cli/commands.ts";
import { executable, temporaryFolder } from "./harness.ts";

// Real shells complete what a person typed; zsh's own functions are stood in for by some that say what they were given.

const shells = ["bash", "zsh", "fish"] as const;
const commands = table.map(({ name }) => name).toSorted();
let folder: string;
const scripts: Record<string, string> = {};

beforeAll(async () => {
  folder = temporaryFolder("completion");
  for (const shell of shells) {
    scripts[shell] = join(folder, shell);
    await execa("sh", ["-c", `${executable} completion ${shell} > ${scripts[shell]}`]);
  }
  return () => rmSync(folder, { recursive: true });
});

/** What bash offers for the last of the words. */
async function bash(...words: string[]): Promise<string[]> {
  const script = `source ${scripts.bash}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _podwire; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout } = await execa("bash", ["--norc", "-c", script, "bash", "podwire", ...words], { cwd: folder });
  return stdout.split("\n").filter((line) => line !== "");
}

/** What fish offers, without its explanations; the options only where the last word begins with a dash. */
async function fish(line: string): Promise<string[]> {
  const script = `source ${scripts.fish}; complete -C "podwire ${line}"`;
  const { stdout } = await execa("fish", ["--no-config", "-c", script], { cwd: folder, env: { HOME: folder } });
  return stdout
    .split("\n")
    .map((each) => each.split("\t")[0]!)
    .filter((word) => word !== "");
}

/** What zsh's functions are called with for the last of the words. */
async function zsh(...words: string[]): Promise<string[]> {
  const say = '_describe() { print -rl -- "$1" "${commands[@]}" }; _arguments() { print -rl -- "$@" }';
  const script = `${say}; words=(podwire "$@"); CURRENT=$#words; source ${scripts.zsh}`;
  return (await execa("zsh", ["-f", "-c", script, "zsh", ...words])).stdout.split("\n");
}

describe("podwire completion", () => {
  test.each(shells)("%s reads the script", async (shell) => {
    expect(await execa(shell, ["-n", scripts[shell]!])).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("bash: commands, commands below them, options, values", async () => {
    expect((await bash("")).toSorted()).toEqual([...commands, "help", "version"].toSorted());
    expect(await bash("le")).toEqual(["leases"]);
    expect(await bash("leases", "--network", "x", "re")).toEqual(["release"]);
    expect(await bash("leases", "release", "--f")).toEqual(["--force"]);
    expect(await bash("leases", "--f")).toEqual([]);
    expect(await bash("run", "c")).toEqual(["check"]);
    expect(await bash("completion", "")).toEqual(expect.arrayContaining([...shells]));
    expect(await bash("validate", "fi")).toEqual(["fish"]); // a file of the folder
    expect(await bash("install", "--bin-dir", "/us")).toEqual(["/usr"]);
    expect(await bash("leases", "--network", "")).toEqual([]);
  });

  test("fish: commands, commands below them, options, values", async () => {
    expect(await fish("")).toEqual(commands);
    expect(await fish("leases ")).toEqual(["release"]);
    expect(await fish("uninstall --")).toEqual(["--bin-dir", "--dry-run", "--json"]);
    expect(await fish("leases --f")).toEqual([]);
    expect(await fish("leases release --f")).toEqual(["--force"]);
    expect(await fish("run ")).toEqual(["add", "bash", "check", "del", "fish", "gc", "status", "zsh"]);
    expect(await fish("install --bin-dir /usr/loca")).toEqual(["/usr/local/"]);
  });

  test("zsh: commands, commands below them, options, values", async () => {
    const described = await zsh("");
    expect(described[0]).toBe("command");
    expect(
      described
        .slice(1)
        .map((each) => each.replace(/:.*/, ""))
        .toSorted(),
    ).toEqual(commands);
    expect(await zsh("leases", "")).toEqual(
      expect.arrayContaining(["--network[only this network]:NAME: ", "1::command:(release)"]),
    );
    expect(await zsh("leases", "release", "")).toEqual(
      expect.arrayContaining(["--force[free it also where it is unknown whether its pod lives]", "1:ADDRESS: "]),
    );
    expect(await zsh("uninstall", "")).toEqual(
      expect.arrayContaining(["--bin-dir[where the runtime looks for plugins (/opt/cni/bin)]:DIR:_files -/"]),
    );
    expect(await zsh("run", "")).toEqual(
      expect.arrayContaining(["1:VERB:(add check del gc status)", "2:CONFLIST:_files", "3::NETNS:_files"]),
    );
    expect(await zsh("run", "")).toContain(
      String.raw`*--port[a port of the node that leads to one of the pod\: 8080\:80, 127.0.0.1\:53\:53/udp]:HOST\:POD: `,
    );
  });

  test("refuses another shell", async () => {
    expect(await execa(executable, ["completion", "tcsh"], { reject: false })).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('SHELL is "tcsh", must be bash, zsh or fish') as unknown,
    });
  });
});

describe("podwire manual", () => {
  test("is a page that man shows without a complaint, with every command and option", async () => {
    const page = await execa("sh", ["-c", `${executable} manual | man --warnings -l -`], {
      env: { MANWIDTH: "80", LC_ALL: "C.UTF-8", MANPAGER: "cat" },
    });
    expect(page).toMatchObject({ exitCode: 0, stderr: "" });
    for (const name of commands) {
      const { stdout } = await execa(executable, [name, "--help"]);
      expect(page.stdout).toMatch(new RegExp(`^ {3}podwire ${name}$`, "m"));
      for (const [option] of stdout.matchAll(/^ {2}--[a-z-]+/gm)) expect(page.stdout).toContain(option.trim());
    }
    expect(page.stdout).toMatch(/^PODWIRE\(8\)/);
  });
});

test("make install brings the command, the man page and what shells need, and make uninstall takes it away", async () => {
  const root = join(folder, "root");
  const make = async (target: string) =>
    execa("make", [target, `DESTDIR=${root}`, "BINDIR=/usr/lib/cni", "PREFIX=/usr", "-o", "build"], {
      cwd: join(executable, "../.."),
    });
  await make("install");
  expect(readlinkSync(join(root, "usr/sbin/podwire"))).toBe("/usr/lib/cni/podwire");
  expect(lstatSync(join(root, "usr/lib/cni/podwire")).isFile()).toBe(true);
  const installed = {
    bash: "share/bash-completion/completions/podwire",
    zsh: "share/zsh/site-functions/_podwire",
    fish: "share/fish/vendor_completions.d/podwire.fish",
  };
  for (const shell of shells) {
    expect(readFileSync(join(root, "usr", installed[shell]))).toEqual(readFileSync(scripts[shell]!));
  }
  expect(readFileSync(join(root, "usr/share/man/man8/podwire.8"), "utf8")).toMatch(/^\.TH PODWIRE 8/);
  await make("uninstall");
  expect((await execa("find", [root, "-not", "-type", "d"])).stdout).toBe("");
});
