import { tryJson } from "../cni/json.ts";
import type { JsonObject } from "../cni/invocation.ts";
import { readLink } from "../kernel/file.ts";
import { sha512 } from "../kernel/hash.ts";
import { parseIp } from "../net/ip.ts";
import { isLinkName } from "../net/link-name.ts";
import { isIdentifier, identifierRule } from "../protocol/environment.ts";
import { type Given, UsageError } from "./arguments.ts";
import type { Target } from "./list-runner.ts";

/** What says for which attachment plugins are run. */
export const targetOptions = {
  "--ifname": { value: "NAME", about: "the interface in the namespace (eth0)" },
  "--container-id": { value: "ID", about: "the container's id (made from NETNS, as cnitool does)" },
  "--port": {
    value: "HOST:POD",
    repeated: true,
    about: "a port of the node that leads to one of the pod: 8080:80, 127.0.0.1:53:53/udp",
  },
  "--cap": { value: "NAME=JSON", repeated: true, about: "arguments of a capability: 'ips=[\"10.1.0.9\"]'" },
  "--arg": { value: "KEY=VALUE", repeated: true, about: "one of CNI_ARGS: K8S_POD_NAME=web" },
} as const;

/** The attachment that was typed. Throws UsageError. */
export function parseTarget(given: Given<keyof typeof targetOptions | "NETNS">): Target {
  const netns = absolute(given.find("NETNS") ?? "");
  if (netns === "") throw new UsageError("NETNS is missing");
  // as cnitool makes it, so that each finds what the other made
  const containerId = given.find("--container-id") ?? `cnitool-${sha512(netns).slice(0, 20)}`;
  const ifname = given.find("--ifname") ?? "eth0";
  if (!isIdentifier(containerId)) {
    throw new UsageError(`--container-id is ${JSON.stringify(containerId)}, must be ${identifierRule}`);
  }
  if (!isLinkName(ifname)) throw new UsageError(`--ifname is ${JSON.stringify(ifname)}, must be the name of a link`);
  const ports = given.all("--port").map(parsePort);
  const capabilities = Object.fromEntries(given.all("--cap").map(parseCapability));
  return {
    netns,
    containerId,
    ifname,
    args: given.all("--arg").map((arg) => split(arg, "--arg", "KEY=VALUE")),
    capabilities: { ...capabilities, ...(ports.length > 0 && { portMappings: ports }) },
  };
}

/** A name is one that `ip netns` knows; any other path is relative to the current folder. */
function absolute(path: string): string {
  if (path === "") return "";
  if (!path.includes("/")) return `/run/netns/${path}`;
  const steps: string[] = [];
  for (const step of (path.startsWith("/") ? path : `${readLink("/proc/self/cwd")}/${path}`).split("/")) {
    if (step === "..") steps.pop();
    else if (step !== "" && step !== ".") steps.push(step);
  }
  return `/${steps.join("/")}`;
}

function split(text: string, option: string, form: string): [string, string] {
  const at = text.indexOf("=");
  if (at > 0 && at < text.length - 1) return [text.slice(0, at), text.slice(at + 1)];
  throw new UsageError(`${option} is ${JSON.stringify(text)}, must be ${form}`);
}

function parseCapability(text: string): [string, unknown] {
  const [name, json] = split(text, "--cap", "NAME=JSON");
  const value = tryJson(json);
  if (value === undefined) throw new UsageError(`--cap ${name} is ${JSON.stringify(json)}, must be JSON`);
  return [name, value];
}

/** `[ADDRESS:]HOST:POD[/PROTOCOL]`; an IPv6 address stands in brackets. */
function parsePort(text: string): JsonObject {
  const found = /^(?:\[?([0-9a-f.:]+?)\]?:)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(text);
  const [, hostIP, hostPort, containerPort, protocol = "tcp"] = found ?? [];
  if (!found || (hostIP !== undefined && !parseIp(hostIP))) {
    throw new UsageError(`--port is ${JSON.stringify(text)}, must be [ADDRESS:]HOST:POD, and /udp or /sctp at its end`);
  }
  return {
    hostPort: Number(hostPort),
    containerPort: Number(containerPort),
    protocol: protocol.toLowerCase(),
    ...(hostIP !== undefined && { hostIP }),
  };
}
