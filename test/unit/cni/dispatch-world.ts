import { dispatch, type Edges } from "../../../src/protocol/dispatch.ts";
import type { Invocation, Plugin } from "../../../src/cni/invocation.ts";
import { noDns } from "../../../src/cni/result.ts";
import { parsePrefix } from "../../../src/net/ip.ts";

/** As the engine gives it: nothing but bytes. */
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const environment = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/ns",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/bin",
  CNI_ARGS: "A=secret",
};
/** A plugin that writes down its calls and answers what the test wants. */
export function world(
  more: Partial<Edges> & { stdin?: string; act?: (call: Invocation) => void; invokedAs?: string } = {},
) {
  const calls: [string, Invocation][] = [];
  const complaints: string[] = [];
  const lines: [string, string][] = [];
  const act = (verb: string) => (call: Invocation) => {
    calls.push([verb, call]);
    more.act?.(call);
  };
  const add = (call: Invocation) => {
    act("add")(call);
    return { interfaces: [], ips: [{ address: parsePrefix("10.0.0.2/24")! }], routes: [], dns: noDns() };
  };
  const plugin = (name: string): Plugin => ({
    name,
    add,
    check: act("check"),
    del: act("del"),
    gc: act("gc"),
    status: act("status"),
    inspect: act("inspect"),
    known: () => "anything",
  });
  const names = ["bridge", "ptp"];
  const answer = dispatch({
    environment,
    readStdin: () => utf8(more.stdin ?? '{"cniVersion":"1.0.0","name":"n","type":"bridge","secret":"secret"}'),
    invokedAs: "bridge",
    pluginNames: names,
    findPlugin: (name) => (names.includes(name) ? plugin(name) : undefined),
    append: (file, line) => void lines.push([file, line]),
    complain: (message) => void complaints.push(message),
    now: () => performance.now(),
    ...more,
  });
  const json = answer.stdout === "" ? undefined : (JSON.parse(answer.stdout) as Record<string, unknown>);
  return { ...answer, json, calls, complaints, lines };
}
