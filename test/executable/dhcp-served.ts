import { beforeAll, expect, test } from "vitest";
import { DhcpScene } from "./dhcp.ts";
import { type CniResult } from "./harness.ts";

export const ROUTER = "--dhcp-option=option:router,10.9.0.1";
/** dnsmasq gives no lease for less than two minutes, but says what times it is told, from three seconds on. */
export const times = (renew: number, rebind: number): string[] => [
  `--dhcp-option-force=option:T1,${renew}s`,
  `--dhcp-option-force=option:T2,${rebind}s`,
];

/** It asks again soon. */
export const SOON = ["--timeout", "300ms", "--resendmax", "1s"];

export async function served(scene?: DhcpScene, { server = [] as string[], daemon = [] as string[] } = {}) {
  scene ??= await DhcpScene.make();
  const dnsmasq = await scene.dnsmasq(ROUTER, ...server);
  return { scene, node: scene.node, dnsmasq, daemon: await scene.daemon(...daemon) };
}

/** Cases that wait for most of their time wait together, each in a scene of its own. */
export function together(cases: Record<string, (scene: DhcpScene) => Promise<void>>): void {
  const running = new Map<string, Promise<void>>();
  beforeAll(async () => {
    for (const [name, run] of Object.entries(cases)) {
      const outcome = run(await DhcpScene.make());
      outcome.catch(() => undefined); // its test says so
      running.set(name, outcome);
    }
  });
  test.each(Object.keys(cases))("%s", async (name) => expect(await running.get(name)).toBeUndefined());
}

export const described = ({ ips, routes }: CniResult) => ({ ips, routes });
