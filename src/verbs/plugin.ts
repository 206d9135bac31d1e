import type { HostView } from "../attachment/host-view.ts";
import { findLink } from "../attachment/link/links.ts";
import { assertNewName } from "../attachment/link/own-link.ts";
import { hostVethName, isAnothersAlias, linkAlias } from "../attachment/owner.ts";
import type { Site } from "../attachment/site.ts";
import { CniError, Code } from "../cni/error.ts";
import { overridingDns } from "../cni/fields.ts";
import type { Invocation, Plugin } from "../cni/invocation.ts";
import { knownBy } from "../cni/known-keys.ts";
import { parseLeniently, readTogether } from "../cni/reading.ts";
import { optional, orElse, shape, text } from "../cni/schema.ts";
import type { ResultInterface } from "../cni/result.ts";
import { chooseIpam, type Ipam } from "../ipam/ipam.ts";
import { delegatedIpam, withIpam } from "../ipam/keys.ts";
import { randomMac } from "../kernel/random.ts";
import { parseMac } from "../net/mac.ts";
import { commonSchema } from "../protocol/config.ts";
import { add } from "./add.ts";
import { check, type Expected, expecting } from "./check.ts";
import { del } from "./del.ts";
import { gc } from "./gc.ts";
import type { ChainedPlugin, InterfaceConfig, InterfacePlugin, Subject } from "./plan.ts";
import { containerIps, getPrevious, previousIpam, sandboxedIps } from "./previous.ts";
import { blankSubject, type Spec } from "./spec.ts";
import { status } from "./status.ts";

/** A plugin whose attachments are described in parts. */
export interface PartsPlugin extends Plugin {
  /** Runs `use` with the attachment a call's prevResult is the result of; CniError where there can be none. */
  expecting<T>(call: Invocation, use: (expected: Expected) => T, view?: HostView): T;
}

const pluginOf = <C>(spec: Spec<C>): PartsPlugin => ({
  name: spec.name,
  expecting: (call, use, view) => expecting(spec, call, { view }, use),
  add: (call) => add(spec, call),
  check: (call) => check(spec, call),
  del: (call) => del(spec, call),
  gc: (call) => gc(spec, call),
  status: (call) => status(spec, call),
  inspect: (call) => void spec.read(call),
  known: (config) => spec.known(config),
  isChained: spec.isChained,
});

/** A plugin from what it plans. */
export function interfacePlugin<C extends InterfaceConfig>(plugin: InterfacePlugin<C>): PartsPlugin {
  const hasHostEnd = plugin.kinds.includes("veth");
  const known = knownBy([commonSchema, plugin.schema, delegatedIpam]);
  return pluginOf<C>({
    ...plugin,
    isChained: false,
    known: (config) => withIpam(known, config),
    read: (call) => readInterface(plugin, call),
    draw(call, config) {
      assertNewName(call.ifname);
      return {
        ...blankSubject(call),
        hostMac: randomMac(),
        bridgeMac: randomMac(),
        vlanMac: randomMac(),
        podMac: plugin.mac?.(config) ?? randomMac(),
      };
    },
    addresses: containerIps,
    recall: hasHostEnd ? recallVeth : recallPodLink,
    hostLink: hasHostEnd ? ({ owner }) => hostVethName(owner) : () => undefined,
    result: (_call, plan, made, { config, addressing }) => ({
      interfaces: plugin.interfaces(plan, made),
      ips: plan.ips,
      routes: plan.routes,
      dns: overridingDns(config.dns) ?? addressing.dns,
    }),
  });
}

/** A chained plugin from what it plans: its result is the one it was given, with what it changes of it. */
export function chainedPlugin<C>(plugin: ChainedPlugin<C>): PartsPlugin {
  const known = knownBy([commonSchema, plugin.schema]);
  const addresses = plugin.everyInterface ? sandboxedIps : containerIps;
  return pluginOf<C>({
    ...plugin,
    addresses,
    isChained: true,
    known: () => known,
    read: (call) => [plugin.read(call), previousIpam(call, plugin.name, addresses)],
    draw: blankSubject,
    plan: (config, { owner, netns }, { ips, routes }) => ({
      ips,
      routes,
      attachment: { owner, netns, parts: plugin.parts(config, ips, owner) },
    }),
    recall: (call) => ({ subject: blankSubject(call), foreign: false }),
    hostLink: findHostLink,
    result: (call, plan, made, { config }) => {
      const previous = getPrevious(call, plugin.name);
      return plugin.result?.(previous, plan, made, config) ?? previous;
    },
  });
}

const ipamType = shape({ ipam: optional(shape({ type: orElse(text(), "") })) });

/** What is wrong with configuration and IPAM is said in one error; DEL and GC take what can be read. */
function readInterface<C extends InterfaceConfig>(plugin: InterfacePlugin<C>, call: Invocation): [C, Ipam] {
  const isStrict = call.verb !== "DEL" && call.verb !== "GC";
  let config: C | undefined;
  return readTogether(
    () => (config = plugin.read(call)),
    () => {
      const type = (config ?? parseLeniently(ipamType, call.config).value).ipam?.type ?? "";
      const previous = plugin.takesPrevious && type === "" ? call.prevResult : undefined;
      const hasIps = previous ? previous.ips.length > 0 : plugin.takesPrevious && call.verb === "STATUS";
      if (type === "" && plugin.needsIpam && isStrict && !hasIps) {
        throw new CniError(Code.InvalidConfig, `ipam.type: ${plugin.name} needs an IPAM plugin, such as "host-local"`);
      }
      return chooseIpam(call, type, previous);
    },
  );
}

/** The pod's end of the link, as prevResult has it. */
function reportedPodEnd(call: Invocation): ResultInterface {
  const { interfaces } = getPrevious(call, "CHECK");
  const pod = interfaces.find(({ name, sandbox }) => name === call.ifname && sandbox === call.netns);
  if (pod) return pod;
  throw new CniError(
    Code.InvalidConfig,
    `prevResult.interfaces: none is named ${JSON.stringify(call.ifname)} in sandbox ${JSON.stringify(call.netns)}`,
  );
}

/** The MAC as prevResult has it; a link without podwire's alias was made by the reference. */
function recallPodLink(call: Invocation, site: Site, ipam: Ipam): { subject: Subject; foreign: boolean } {
  const { mac = "", mtu } = reportedPodEnd(call);
  const link = site.seenPodLink(call.ifname);
  const foreign = link !== undefined && link.alias !== linkAlias(site.owner);
  const { masterMtu } = (foreign ? undefined : ipam.traces().knowledge) ?? {};
  return {
    subject: { ...blankSubject(call), podMac: mac, ...(mtu && { mtu }), ...(masterMtu && { masterMtu }) },
    foreign,
  };
}

/** Names and MACs as prevResult has them; an attachment whose host veth is not podwire's was made by the reference. */
function recallVeth(call: Invocation, site: Site): { subject: Subject; foreign: boolean } {
  const { interfaces } = getPrevious(call, "CHECK");
  const blank = blankSubject(call);
  const pod = reportedPodEnd(call);
  const onHost = interfaces
    .filter(({ sandbox }) => !sandbox)
    .map((entry) => ({ entry, kind: site.seenLink(entry.name)?.kind }));
  // one that is gone stands first in the result; its MAC is the one pods know
  const bridge = onHost.find(
    ({ entry, kind }) => kind === "bridge" || (kind === undefined && entry.name !== blank.hostVeth),
  )?.entry;
  const veth = onHost.find(({ entry }) => entry.name === blank.hostVeth) ?? onHost.find(({ kind }) => kind === "veth");
  const hostVeth = veth?.entry.name ?? blank.hostVeth;
  return {
    subject: {
      ...blank,
      hostVeth,
      hostMac: parseMac(veth?.entry.mac ?? "") ?? "",
      podMac: pod.mac ?? "",
      ...(veth?.entry.mtu && { mtu: veth.entry.mtu }),
      ...(pod.mtu && { podMtu: pod.mtu }),
      bridgeMac: bridge?.mac ?? "",
      listed: interfaces,
    },
    foreign: hostVeth !== blank.hostVeth,
  };
}

/**
 * The host's end of the container's link: podwire's own, else a veth of the host that prevResult lists and that podwire
 * made for nobody else.
 */
function findHostLink(site: Site, { prevResult }: Invocation): string | undefined {
  const listed = (prevResult?.interfaces ?? []).filter(({ sandbox }) => !sandbox).map(({ name }) => name);
  return [hostVethName(site.owner), ...listed].find((name) => {
    const link = findLink(site.host, name);
    return link?.kind === "veth" && !isAnothersAlias(link.alias, site.owner);
  });
}
