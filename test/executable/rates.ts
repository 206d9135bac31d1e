import { expect } from "vitest";
import { execa } from "execa";
import type { Namespace } from "./harness.ts";

const PAYLOAD = 1200;
const TOLERANCE = 0.1;
const TRIES = 5;
/** Ethernet, IP and UDP */
const HEADERS = { 4: 42, 6: 62 };

/**
 * Bits of payload a second at the receiver, after the first second, in which the bucket and the queue fill; TCP shows that
 * there is no limit. With one it sends datagrams, twice as many as may pass. Where the machine is busy they are fewer at
 * times: the mean of all is too small then, and the best half second is rather too large. What is returned is what
 * between the two is nearest to the limit; where that is too little they are sent again.
 */
export async function measure(
  from: Namespace,
  to: Namespace,
  [address, port]: [string, number],
  limit = 0,
): Promise<number> {
  const datagrams = limit > 0 ? ["-u", "-b", `${2 * limit}`, "-l", `${PAYLOAD}`] : [];
  const wanted = limit * payloadOf(address.includes(":") ? 6 : 4);
  for (let tries = 1; ; tries++) {
    const { mean, best } = await send(from, to, [address, port], ["-O", "1", "-t", "3", ...datagrams]);
    const seen = limit === 0 ? mean : Math.min(best, Math.max(mean, wanted));
    if ((seen > 0 && seen >= wanted * (1 - TOLERANCE)) || tries === TRIES) return seen;
  }
}

/**
 * Runs iperf3's client with these options: the mean rate at its server, and that of the best half second; 0 where a
 * busy machine kept the two from agreeing on a result.
 */
async function send(
  from: Namespace,
  to: Namespace,
  [address, port]: [string, number],
  options: string[],
): Promise<{ mean: number; best: number }> {
  const listen = ["iperf3", "-s", "-1", "-p", `${port}`, "-i", "0.5", "-f", "k", "--forceflush"];
  const server = execa("nsenter", [`--net=${to.path}`, "--", ...listen]);
  await new Promise((resolve) => server.stdout.once("data", resolve));
  const client = await from.must("iperf3", "-c", address, "-p", `${port}`, "-J", ...options);
  const { end } = JSON.parse(client) as { end: { sum_received?: { bits_per_second: number } } };
  const lines = (await server).stdout.split("\n").filter((line) => !line.includes("omitted"));
  const rates = lines.flatMap((line) => {
    const [, since, until, kilobits] = /([\d.]+)-([\d.]+) +sec .* ([\d.]+) Kbits\/sec/.exec(line) ?? [];
    return Number(until) - Number(since) > 0.3 ? [Number(kilobits) * 1000] : []; // where the first second ends is a tiny one
  });
  return { mean: end.sum_received?.bits_per_second ?? 0, best: Math.max(0, ...rates) };
}

/** The share of what is limited that is payload. */
export const payloadOf = (family: 4 | 6): number => PAYLOAD / (PAYLOAD + HEADERS[family]);

/** Matches a rate that is a tenth off at most. */
export const within = (rate: number): object =>
  expect.toSatisfy((seen: number) => Math.abs(seen / rate - 1) <= TOLERANCE);
