import { ownerOf } from "../attachment/owner.ts";
import { CniError, Code } from "../cni/error.ts";
import type { Invocation } from "../cni/invocation.ts";
import type { Addressing } from "../cni/result.ts";
import { clientText } from "../dhcp/asked.ts";
import { callDaemon, NoDaemon } from "../dhcp/call.ts";
import type { WrittenRequest } from "../dhcp/protocol.ts";
import { askedToJson, type LeaseRecord } from "../dhcp/record.ts";
import { RELEASE_MS, startRelease } from "../dhcp/release.ts";
import { LeaseStore } from "../dhcp/store.ts";
import { close, waitReadable } from "../kernel/linux.ts";
import { formatIp } from "../net/ip.ts";
import { keptBy } from "./collect.ts";
import { type DhcpConfig, parseSocketPath } from "./dhcp-config.ts";

/** Has the daemon acquire a lease for the pod's link, which must be there. */
export function addDhcp(call: Invocation, { socketPath, asked, priority }: DhcpConfig): Addressing {
  const request = { verb: "ADD", ...ownerOf(call), netns: call.netns, asked: askedToJson(asked) } as const;
  const given = callDaemon(socketPath, request);
  return priority === 0 ? given : { ...given, routes: given.routes.map((route) => ({ ...route, priority })) };
}

/** CniError where the daemon does not hold the lease; one it knows nothing of it acquires anew. */
export function checkDhcp(call: Invocation, { socketPath, asked }: DhcpConfig): void {
  const reported = call.prevResult?.ips.find(({ address }) => address.ip.family === 4);
  callDaemon(socketPath, {
    verb: "CHECK",
    ...ownerOf(call),
    netns: call.netns,
    asked: askedToJson(asked),
    ...(reported && { address: formatIp(reported.address.ip) }),
  });
}

/** Gives the lease back, by the daemon, or where none runs without it: the pod may be gone a moment later. */
export function removeDhcp(call: Invocation): void {
  const socketPath = parseSocketPath(call);
  const client = ownerOf(call);
  if (askDaemon(call, socketPath, { verb: "DEL", ...client })) return;
  const store = LeaseStore.of(socketPath);
  const record = store.find(client);
  if (record) giveBack(call, record);
  store.forget(client);
}

/** As `removeDhcp`, what the network's attachments have that are not valid. */
export function collectDhcp(call: Invocation, kept = keptBy(call)): void {
  const socketPath = parseSocketPath(call);
  const { network } = call;
  const valid = [...kept()];
  if (askDaemon(call, socketPath, { verb: "GC", network, valid })) return;
  const store = LeaseStore.of(socketPath);
  const clients = new Set(valid.map((each) => clientText({ network, ...each })));
  for (const record of store.list((trouble) => call.log.warn(trouble))) {
    const { client } = record;
    if (client.network !== network || clients.has(clientText(client))) continue;
    giveBack(call, record);
    store.forget(client);
  }
}

/** CniError 50 where ADD would find no daemon. */
export function statusOfDhcp({ socketPath }: DhcpConfig): void {
  try {
    callDaemon(socketPath, { verb: "STATUS" });
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw new CniError(Code.NotAvailable, error.message, error.details, { cause: error });
  }
}

/** False where no daemon does it: who removes does not depend on one. It learns from the store what was done. */
function askDaemon({ log }: Pick<Invocation, "log">, socketPath: string, request: WrittenRequest): boolean {
  try {
    callDaemon(socketPath, request);
    return true;
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    if (!(error instanceof NoDaemon)) log.warn(error.message);
    return false;
  }
}

function giveBack({ log }: Pick<Invocation, "log">, record: LeaseRecord): void {
  const sent = startRelease(record, "");
  if (typeof sent === "string") return log.warn(`the lease is not given back to the DHCP server: ${sent}`);
  waitReadable(sent, RELEASE_MS); // an error to be read counts as well
  close(sent);
}
