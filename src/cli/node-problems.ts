import { formatPath } from "../cni/complaint.ts";
import { tryJson } from "../cni/json.ts";
import { quietLog } from "../cni/log.ts";
import { isObject } from "../cni/schema.ts";
import { isAtLeast, type Version, versions } from "../cni/versions.ts";
import { isHostLocal } from "../ipam/config.ts";
import { hasCapability } from "../kernel/capability.ts";
import { findStat } from "../kernel/file.ts";
import { SystemError } from "../kernel/linux.ts";
import { findVariable } from "../kernel/process.ts";
import { findProgram, runProgram } from "../kernel/program.ts";
import { decodeUtf8, encodeUtf8 } from "../net/bytes.ts";
import { findPlugin } from "../plugins/registry.ts";
import { findOverlaps } from "../survey/capacity.ts";
import { leasingNetworks, type Network, readNetworkFiles } from "../survey/networks.ts";
import { statusCall } from "./inspection.ts";
import type { Path } from "./json-places.ts";
import { type ListedPlugin, type NetworkList, type Problem, problemsOf } from "./network-list.ts";
import { findPluginFile } from "../survey/plugin-file.ts";

interface Surroundings {
  file: string;
  confDirs: readonly string[];
  folders: readonly string[];
  /** networks of files that were looked at before */
  before: readonly Network[];
  /** nothing is wrong with the configuration by itself */
  isSound: boolean;
}

/** What a sound configuration lacks on this node: plugins, versions, kernel features, addresses of its own. */
export function nodeProblems(list: NetworkList, surroundings: Surroundings): Problem[] {
  return [
    ...runtimeProblems(list),
    ...list.plugins.flatMap((plugin) => {
      const missing = pluginProblems(list, plugin, surroundings.folders);
      return missing.length > 0 || !surroundings.isSound ? missing : kernelProblems(list, plugin, surroundings.folders);
    }),
    ...(surroundings.isSound ? overlaps(list, surroundings) : []),
  ];
}

const DEADLINE_MS = 10_000;

/** What a program prints; "" where it cannot be run. */
function ask(file: string, args: readonly string[], variables: readonly string[], input = ""): string {
  try {
    const { exitCode, stdout } = runProgram(file, {
      args,
      environment: [`PATH=${findVariable("PATH") ?? ""}`, ...variables],
      input: encodeUtf8(input),
      deadlineMs: DEADLINE_MS,
    });
    return exitCode === 0 ? decodeUtf8(stdout) : "";
  } catch (error) {
    if (error instanceof SystemError) return "";
    throw error;
  }
}

/** Executables a list names: every plugin's, and that of its IPAM plugin unless podwire has it inside. */
function pluginProblems(list: NetworkList, { path, config }: ListedPlugin, folders: readonly string[]): Problem[] {
  const ipam = isObject(config["ipam"]) ? String(config["ipam"]["type"] ?? "") : "";
  const isInside = isHostLocal(ipam) && findPlugin(String(config["type"])) !== undefined;
  const named: [Path, string][] = [
    [path, String(config["type"] ?? "")],
    ...(isInside ? [] : ([[[...path, "ipam", "type"], ipam]] as [Path, string][])),
  ];
  return named
    .filter(([, type]) => type !== "" && !type.includes("/"))
    .flatMap(([at, type]) => executableProblems(at, type, list, folders));
}

function executableProblems(path: Path, type: string, list: NetworkList, folders: readonly string[]): Problem[] {
  const where = formatPath(path) || "type";
  const file = findPluginFile(folders, type);
  if (file === undefined) return [{ path, text: `${where}: ${type} is not in ${folders.join(", ")}` }];
  const answer = tryJson(ask(file, [], ["CNI_COMMAND=VERSION"], JSON.stringify({ cniVersion: list.cniVersion })));
  const spoken = isObject(answer) && Array.isArray(answer["supportedVersions"]) ? answer["supportedVersions"] : [];
  if (spoken.includes(list.cniVersion)) return [];
  const text =
    spoken.length === 0
      ? "does not answer VERSION"
      : `does not speak cniVersion ${list.cniVersion}, only ${spoken.join(", ")}`;
  return [{ path, text: `${where}: ${file} ${text}` }];
}

/** The newest version whose results a containerd reads, by the libcni it is built with (0.8, 1.1, 1.2 and later). */
function newestOf(major: number, minor: number): Version {
  if (major >= 2) return versions.at(-1)!;
  return major === 1 && minor >= 6 ? "1.0.0" : "0.4.0";
}

/** Where a node's containerd is, whatever the PATH of the person. */
const PROGRAM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function runtimeProblems({ cniVersion }: NetworkList): Problem[] {
  const file = findProgram("containerd", `${findVariable("PATH") ?? ""}:${PROGRAM_FOLDERS}`);
  const found = file === undefined ? null : /\sv?(\d+)\.(\d+)\.\d+\S*/.exec(ask(file, ["--version"], []));
  if (!found) return [];
  const newest = newestOf(Number(found[1]), Number(found[2]));
  if (isAtLeast(newest, cniVersion)) return [];
  const text = `cniVersion is "${cniVersion}", and containerd${found[0]} (${file}) reads results up to ${newest}`;
  return [{ path: ["cniVersion"], text }];
}

/** Whether this process may ask the kernel about its firewall. */
export const isPrivileged = (): boolean => hasCapability("NET_ADMIN") === true;

/** What STATUS says: the kernel, the folders and the programs a configuration asks for. */
function kernelProblems(list: NetworkList, plugin: ListedPlugin, folders: readonly string[]): Problem[] {
  const known = findPlugin(String(plugin.config["type"]));
  if (!known || !isPrivileged()) return [];
  const warnings: string[] = [];
  const call = statusCall(
    list,
    plugin,
    quietLog((message) => warnings.push(message)),
  );
  const problems = problemsOf(plugin.path, () => known.status({ ...call, path: folders.join(":") }));
  return [...problems, ...warnings.map((text) => ({ path: plugin.path, text, isWarning: true }))];
}

/** The networks of a list whose addresses host-local hands out; none where a runtime gives the ranges. */
export const ownNetworks = ({ name, cniVersion, plugins }: NetworkList, file: string): (Network & { path: Path })[] =>
  plugins.flatMap(({ path, config }) =>
    leasingNetworks([{ folder: "", file, name, cniVersion, plugins: [config] }]).networks.map((network) => ({
      ...network,
      path: [...path, "ipam"],
    })),
  );

function overlaps(list: NetworkList, { file, confDirs, before }: Surroundings): Problem[] {
  const own = ownNetworks(list, file);
  if (own.length === 0) return [];
  const here = file === "-" ? undefined : findStat(file);
  const isHere = (other: string): boolean => {
    const there = findStat(other);
    return here !== undefined && there?.inode === here.inode && there.device === here.device;
  };
  const files = confDirs
    .flatMap((folder) => readNetworkFiles(folder).files)
    .filter(({ folder, file: other }) => !isHere(`${folder}/${other}`));
  const others = [...before, ...leasingNetworks(files).networks];
  return own.flatMap((network) =>
    others
      .flatMap((other) => findOverlaps([network, other]))
      .map(({ other, range }) => ({
        path: network.path,
        text: `${formatPath(network.path)}: network ${other.name} (${other.file}) hands out addresses of ${range} too`,
        isWarning: true,
      })),
  );
}
