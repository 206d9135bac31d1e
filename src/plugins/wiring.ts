import { applyLinks, settle } from "../attachment/apply.ts";
import type { Attachment } from "../attachment/attachment.ts";
import { compareLinks } from "../attachment/compare.ts";
import * as firewall from "../attachment/firewall/firewall.ts";
import { findLink } from "../attachment/links.ts";
import { hostVethName, ownerOf } from "../attachment/owner.ts";
import { PodNamespace } from "../attachment/pod-namespace.ts";
import { collectVeths, removeVeth } from "../attachment/remove.ts";
import { Undo } from "../attachment/undo.ts";
import { CniError, Code, messageOf } from "../cni/error.ts";
import { overridingDns } from "../cni/fields.ts";
import type { Invocation, Plugin } from "../cni/invocation.ts";
import { noDns, type Result, type ResultIp } from "../cni/result.ts";
import { parseLeniently, readTogether, shape } from "../cni/schema.ts";
import { assertConvertible } from "../cni/versions.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../kernel/netlink.ts";
import { randomMac } from "../kernel/random.ts";
import { type Ip, sameIp } from "../net/ip.ts";
import { parseMac } from "../net/mac.ts";
import { attempt } from "./attempt.ts";
import { containerFields, mapsPorts } from "./container-plan.ts";
import { chooseIpam, type Ipam } from "./ipam.ts";
import type { Lease, Subject, Wiring, WiringConfig } from "./plan.ts";
import { chooseBackend } from "./port-mappings.ts";

/** A plugin from its wiring: the verbs are the same for all of them. */
export const wiringPlugin = <C extends WiringConfig>(wiring: Wiring<C>): Plugin => ({
  name: wiring.name,
  add: (call) => add(wiring, call),
  check: (call) => check(wiring, call),
  del: (call) => del(wiring, call),
  gc: (call) => gc(wiring, call),
  status: (call) => status(wiring, call),
});

const noLease = (): Lease => ({ ips: [], routes: [], dns: noDns() });

/** Whether the configuration may ask for something in the host's firewall. */
const wantsFirewall = (config: WiringConfig): boolean =>
  config.ipMasq || config.macspoofchk === true || mapsPorts(config);

const hasFirewall = (attachment: Attachment): boolean => Object.keys(attachment.firewall).length > 0;

/** Configuration and IPAM for the verbs that refuse a wrong one: what is wrong with either is said in one error. */
function readAll<C extends WiringConfig>(wiring: Wiring<C>, call: Invocation): [C, Ipam | undefined] {
  let config: C | undefined;
  return readTogether(
    () => (config = wiring.read(call)),
    () => {
      const type =
        (config ?? parseLeniently(shape({ ipam: containerFields.ipam }), call.config).value).ipam?.type ?? "";
      if (type === "" && wiring.needsIpam) {
        throw new CniError(Code.InvalidConfig, `ipam.type: ${wiring.name} needs an IPAM plugin, such as "host-local"`);
      }
      return type === "" ? undefined : chooseIpam(call, type);
    },
  );
}

function add<C extends WiringConfig>(wiring: Wiring<C>, call: Invocation): Result {
  const [config, ipam] = readAll(wiring, call);
  assertConvertible(call.cniVersion, { hasIps: ipam !== undefined });
  if (wantsFirewall(config)) firewall.assertFirewallTools(toolsOf(config));
  const pod = PodNamespace.open(call.netns, call.netnsOverride);
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  const undo = new Undo();
  const owner = ownerOf(call);
  const hostVeth = hostVethName(owner);
  try {
    const lease = ipam
      ? call.log.step("ipam", () => ipam.add(owner, { hostVeth, pod, firewall: wantsFirewall(config) }, undo))
      : noLease();
    const macs = {
      hostMac: randomMac(),
      bridgeMac: randomMac(),
      vlanMac: randomMac(),
      podMac: wiring.mac?.(config) ?? randomMac(),
    };
    const plan = wiring.plan(config, { owner, netns: call.netns, hostVeth, ...macs }, lease);
    if (plan.attachment.firewall.portMappings) firewall.assertFirewallTools(plan.attachment.firewall);
    const applied = applyLinks(plan.attachment, host, pod, { undo, log: call.log });
    if (hasFirewall(plan.attachment)) {
      call.log.step("firewall", () =>
        firewall.applyFirewall(owner, hostVeth, plan.attachment.firewall, (run) =>
          undo.push("remove firewall elements", run),
        ),
      );
    }
    call.log.step("settle", () => settle(plan.attachment, host, pod, applied));
    const { ips, routes } = plan;
    return { interfaces: wiring.interfaces(plan, applied), ips, routes, dns: overridingDns(config.dns) ?? lease.dns };
  } catch (error) {
    for (const failure of undo.run()) call.log.warn(`undo: ${failure}`);
    throw error;
  } finally {
    host.close();
    pod.close();
  }
}

/**
 * The parts of the firewall the configuration needs, without addresses: what must be there is known before IPAM is
 * asked.
 */
const toolsOf = (config: WiringConfig): Attachment["firewall"] => ({
  ...(config.ipMasq && { masquerade: { backend: config.ipMasqBackend ?? "nftables", addresses: [] } }),
  ...(config.macspoofchk && { spoofCheck: { mac: "" } }),
});

function check<C extends WiringConfig>(wiring: Wiring<C>, call: Invocation): void {
  const [config, ipam] = readAll(wiring, call);
  const result = call.prevResult;
  if (!result) throw new CniError(Code.InvalidConfig, "prevResult: CHECK needs the result of ADD, and it is missing");
  const pod = PodNamespace.open(call.netns, true);
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  try {
    ipam?.check(ownerOf(call));
    const { subject, foreign } = subjectOf(call, result, host);
    const lease = {
      ...noLease(),
      ips: containerIps(call, result).map((ip) => ipam?.inSubnet(ip) ?? ip),
      routes: result.routes,
    };
    const { attachment } = wiring.plan(config, subject, lease);
    const differences = [
      ...compareLinks(attachment, { host, pod, foreign }),
      ...(foreign || !hasFirewall(attachment)
        ? []
        : firewall.checkFirewall(subject.owner, subject.hostVeth, attachment.firewall)),
    ];
    if (differences.length > 0) {
      throw new CniError(
        Code.Internal,
        `attachment ${call.ifname} of container ${call.containerId} is not as ADD made it: ${differences.join("; ")}`,
      );
    }
  } finally {
    host.close();
    pod.close();
  }
}

/** Names and MACs as prevResult has them; an attachment whose host veth is not podwire's was made by the reference. */
function subjectOf(
  call: Invocation,
  { interfaces }: Result,
  host: NetlinkSocket,
): { subject: Subject; foreign: boolean } {
  const owner = ownerOf(call);
  const pod = interfaces.find(({ name, sandbox }) => name === call.ifname && sandbox === call.netns);
  if (!pod) {
    throw new CniError(
      Code.InvalidConfig,
      `prevResult.interfaces: none is named ${JSON.stringify(call.ifname)} in sandbox ${JSON.stringify(call.netns)}`,
    );
  }
  const own = hostVethName(owner);
  const onHost = interfaces
    .filter(({ sandbox }) => !sandbox)
    .map((entry) => ({ entry, link: findLink(host, entry.name) }));
  const bridge = onHost.find(({ link }) => link?.kind === "bridge")?.entry;
  const veth = onHost.find(({ entry }) => entry.name === own) ?? onHost.find(({ link }) => link?.kind === "veth");
  const hostVeth = veth?.entry.name ?? own;
  const subject = {
    owner,
    netns: call.netns,
    hostVeth,
    hostMac: parseMac(veth?.entry.mac ?? "") ?? "",
    podMac: pod.mac ?? "",
    bridgeMac: bridge?.mac ?? "",
    vlanMac: "",
  };
  return { subject, foreign: hostVeth !== own };
}

/** The addresses of prevResult that are this container's interface's; those without an index too. */
const containerIps = ({ ifname, netns }: Invocation, { ips, interfaces }: Result): ResultIp[] =>
  ips.filter(
    ({ interface: index }) =>
      index === undefined || (interfaces[index]?.name === ifname && interfaces[index]?.sandbox === netns),
  );

function del<C extends WiringConfig>(wiring: Wiring<C>, call: Invocation): void {
  const config = wiring.read(call);
  const type = config.ipam?.type ?? "";
  const owner = ownerOf(call);
  const pod = PodNamespace.find(call.netns, call.netnsOverride);
  const host = NetlinkSocket.open(NETLINK_ROUTE);
  const failures = attempt("DEL");
  try {
    const ipam = failures.try(() => (type === "" ? undefined : chooseIpam(call, type)));
    const traces = failures.try(() => ipam?.traces(owner)) ?? { addresses: [], firewall: true, foreign: false };
    const addresses = unique([
      ...traces.addresses,
      ...(call.prevResult ? containerIps(call, call.prevResult).map(({ address }) => address.ip) : []),
    ]);
    const mac = call.prevResult?.interfaces.find(
      ({ name, sandbox }) => name === call.ifname && sandbox !== undefined,
    )?.mac;
    if (traces.firewall || wantsFirewall(config)) {
      failures.try(() =>
        call.log.step("firewall", () => firewall.removeFirewall(firewallTraces(config, owner, addresses))),
      );
    }
    const removed = failures.try(() =>
      call.log.step("veth", () => removeVeth(owner, host, { addresses, ...(pod && { pod }), ...(mac && { mac }) })),
    );
    if (removed === "foreign" || (removed === "none" && traces.foreign)) {
      failures.try(() => firewall.removeReferenceRules(owner, addresses));
    }
    failures.try(() => call.log.step("ipam", () => ipam?.del(owner)));
  } finally {
    host.close();
    pod?.close();
  }
  failures.throwIfAny();
}

const firewallTraces = (
  config: WiringConfig,
  owner: Attachment["owner"],
  addresses: Ip[],
): firewall.FirewallTraces => ({
  owner,
  hostVeth: hostVethName(owner),
  addresses,
  masquerade: config.ipMasq,
  ...(config.ipMasqBackend && { backend: config.ipMasqBackend }),
  ...(mapsPorts(config) && { portMappings: chooseBackend(config) }),
});

const unique = (ips: Ip[]): Ip[] => ips.filter((ip, at) => ips.findIndex((other) => sameIp(ip, other)) === at);

function gc<C extends WiringConfig>(wiring: Wiring<C>, call: Invocation): void {
  const { ipam, ipMasqBackend } = wiring.read(call);
  const type = ipam?.type ?? "";
  const failures = attempt("GC");
  failures.try(() => {
    const host = NetlinkSocket.open(NETLINK_ROUTE);
    call.log.note("links", collectVeths(call.network, call.validAttachments, host).length);
    host.close();
  });
  failures.try(() => firewall.collectFirewall(call.network, call.validAttachments, ipMasqBackend));
  failures.try(() => (type === "" ? undefined : chooseIpam(call, type).gc()));
  failures.throwIfAny();
}

function status<C extends WiringConfig>(wiring: Wiring<C>, call: Invocation): void {
  const [config, ipam] = readAll(wiring, call);
  try {
    NetlinkSocket.open(NETLINK_ROUTE).close();
  } catch (error) {
    throw new CniError(Code.NotAvailable, `cannot open a netlink socket: ${messageOf(error)}`);
  }
  if (config.ipMasq) firewall.statusFirewall(config.ipMasqBackend ?? "nftables");
  ipam?.status();
}
