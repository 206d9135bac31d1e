import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { execa } from "execa";
import { executableOf } from "../engine/engine.ts";
import { type Namespace } from "./harness.ts";

/**
 * A machine behind the TAP device eth0, until it is stopped, or for a minute: it has every address, and answers pings.
 */
const machine = executableOf(`
  const fd = 9;
  const request = new Uint8Array(40);
  request.set(utf8("eth0"));
  new DataView(request.buffer).setUint16(16, Number(args[1]), true);
  say(host.ioctl(fd, 0x400454ca, request));
  const frame = new Uint8Array(2000);
  const view = new DataView(frame.buffer);
  const poll = new Uint8Array(8);
  const until = host.nanoseconds() + 60e9;
  const swap = (a, b, size) => {
    const kept = frame.slice(a, a + size);
    frame.copyWithin(a, b, b + size);
    frame.set(kept, b);
  };
  while (host.nanoseconds() < until) {
    new DataView(poll.buffer).setInt32(0, fd, true);
    poll[4] = 1;
    if (host.poll(poll, 1000) <= 0) continue;
    const length = host.read(fd, frame);
    const mac = [2, 0, 0, 0, 0, 0x77];
    if (length < 0) break;
    if (view.getUint16(12) === 0x0806 && frame[21] === 1) {
      swap(22, 32, 10);
      frame.set(mac, 22);
      frame[21] = 2;
    } else if (view.getUint16(12) === 0x0800 && frame[23] === 1 && frame[34] === 8) {
      swap(26, 30, 4);
      frame[34] = 0;
      const sum = view.getUint16(36) + 0x0800;
      view.setUint16(36, (sum & 0xffff) + (sum >> 16));
    } else continue;
    frame.copyWithin(0, 6, 12);
    frame.set(mac, 6);
    host.write(fd, frame.subarray(0, length));
  }`);
chmodSync(dirname(machine), 0o755);

// /dev/net/tun itself is root's on many a machine
const opening = 'exec 9<>/dev/net/tun; exec "$@"';
export const IFF_TAP_NO_PI = 0x1002;
export const MULTI_QUEUE = 0x100;

/**
 * Starts `machine` in a pod, as another user where one is given; what attaching to the device came to, 0 or an errno.
 */
export async function start(
  pod: Namespace,
  { flags = IFF_TAP_NO_PI, as = [] as string[] } = {},
): Promise<{ said: unknown; stop(): Promise<void> }> {
  const child = execa("nsenter", [`--net=${pod.path}`, "--", "sh", "-c", opening, "sh", ...as, machine, `${flags}`], {
    reject: false,
  });
  const said = await new Promise<string>((resolve, reject) => {
    child.stdout!.once("data", (data) => resolve(String(data)));
    child.once("close", () => reject(new Error("it ended and said nothing")));
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child;
  };
  return { said: JSON.parse(said) as unknown, stop };
}
