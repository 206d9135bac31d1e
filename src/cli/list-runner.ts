import type { JsonObject, Verb } from "../cni/invocation.ts";
import { isObject } from "../cni/schema.ts";
import { isAtLeast, isSupported, oldest } from "../cni/versions.ts";
import { CniError, Code } from "../cni/error.ts";
import { parseAnswer, PLUGIN_DEADLINE_MS, runPlugin } from "../ipam/plugin-process.ts";
import { executablePath } from "../kernel/process.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import { findPlugin } from "../plugins/registry.ts";
import { argumentsFor } from "../protocol/capabilities.ts";
import { decodeDelegateResult, encodeResult } from "../protocol/result-shapes.ts";
import type { ListedPlugin, NetworkList } from "./network-list.ts";
import { findPluginFile } from "../survey/plugin-file.ts";
import type { Cached } from "./result-cache.ts";

/** What plugins are run for: an attachment, or none (GC, STATUS). */
export type Target = Omit<Cached, "network" | "result">;
export const nobody: Target = { containerId: "", ifname: "", netns: "", args: [], capabilities: {} };

/** A plugin's error, as libcni words it. */
export class PluginFailure extends Error {
  constructor(
    readonly type: string,
    readonly verb: Verb,
    readonly error: CniError,
  ) {
    super(`plugin ${type} failed ${verb}, code ${error.code}: ${error.message}`);
  }
}

/** Runs a network's plugins as libcni does (v1.3.0, api.go). */
export class ListRunner {
  constructor(
    private readonly list: NetworkList,
    /** where plugins are; what podwire is itself need not be there */
    private readonly folders: readonly string[],
  ) {}

  /** In order, each with the result so far; the last one's result. */
  add(target: Target): JsonObject {
    let result: JsonObject | undefined;
    for (const plugin of this.list.plugins) {
      const answer = parseAnswer(this.run("ADD", plugin, target, withResult(result)), typeOf(plugin));
      if (!isObject(answer)) throw new Error(`plugin ${typeOf(plugin)} printed what is no result`);
      result = { ...answer, cniVersion: answer["cniVersion"] || this.list.cniVersion };
    }
    return result!;
  }

  /** In order, each with the result of ADD. */
  check(target: Target, result: JsonObject | undefined): void {
    const more = withResult(this.inVersion(result));
    for (const plugin of this.list.plugins) this.run("CHECK", plugin, target, more);
  }

  /** Backwards, each with the result of ADD where the version has that. */
  del(target: Target, result: JsonObject | undefined): void {
    const knows = isAtLeast(this.list.cniVersion, "0.4.0");
    const more = withResult(knows ? this.inVersion(result) : undefined);
    for (const plugin of this.list.plugins.toReversed()) this.run("DEL", plugin, target, more);
  }

  /** In order, each told of all that stays; the failures. */
  gc(valid: readonly Pick<Target, "containerId" | "ifname">[]): PluginFailure[] {
    const attachments = valid.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }));
    const more = { "cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments };
    return this.list.plugins.flatMap((plugin) => failuresOf(() => this.run("GC", plugin, nobody, more)));
  }

  /** In order, up to the first that could not serve ADD. */
  status(): void {
    for (const plugin of this.list.plugins) this.run("STATUS", plugin, nobody, {});
  }

  /** A result as the list's version has it, should that have changed since ADD. */
  private inVersion(result: JsonObject | undefined): JsonObject | undefined {
    const written = result?.["cniVersion"] || oldest;
    if (!result || written === this.list.cniVersion || !isSupported(written)) return result;
    return JSON.parse(
      encodeResult(decodeDelegateResult(result, written, "cached"), this.list.cniVersion),
    ) as JsonObject;
  }

  private run(verb: Verb, plugin: ListedPlugin, target: Target, more: JsonObject): string {
    const { name, cniVersion } = this.list;
    const type = typeOf(plugin);
    const runtimeConfig = argumentsFor(plugin.config, target.capabilities);
    const config = { ...plugin.config, name, cniVersion, ...more, ...(runtimeConfig && { runtimeConfig }) };
    try {
      return runPlugin({
        type,
        file: this.fileOf(type),
        variables: {
          CNI_COMMAND: verb,
          CNI_CONTAINERID: target.containerId,
          CNI_NETNS: target.netns,
          CNI_IFNAME: target.ifname,
          CNI_ARGS: target.args.map((pair) => pair.join("=")).join(";"),
          CNI_PATH: this.folders.join(":"),
        },
        input: encodeUtf8(JSON.stringify(config)),
        deadlineMs: PLUGIN_DEADLINE_MS,
      });
    } catch (error) {
      throw error instanceof CniError ? new PluginFailure(type, verb, error) : error;
    }
  }

  /** The plugin that is installed, else this executable where it is that plugin. */
  private fileOf(type: string): string {
    const file = findPluginFile(this.folders, type) ?? (findPlugin(type) && executablePath());
    if (file !== undefined) return file;
    throw new CniError(Code.InvalidConfig, `there is no plugin ${type} in ${this.folders.join(", ")}`);
  }
}

const typeOf = ({ config }: ListedPlugin): string => String(config["type"]);
const withResult = (prevResult: JsonObject | undefined): JsonObject => (prevResult ? { prevResult } : {});

/** What a step throws that failed in a plugin. */
export function failuresOf(step: () => unknown): PluginFailure[] {
  try {
    step();
    return [];
  } catch (error) {
    if (error instanceof PluginFailure) return [error];
    throw error;
  }
}
