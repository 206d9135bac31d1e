import { expect } from "vitest";
import { execa } from "execa";
import type { Namespace } from "./harness.ts";

const PAYLOAD = 1200;
/** Ethernet, IP and UDP */
const HEADERS = { 4: 42, 6: 62 };

/**
 * Bits of payload a second at the receiver, after the first second, in which the bucket and the queue fill. With a
 * limit it sends datagrams, twice as many as may pass: they show it whatever else the machine does. TCP shows that
 * there is none.
 */
export async function measure(
  from: Namespace,
  to: Namespace,
  [address, port]: [string, number],
  limit = 0,
): Promise<number> {
  const server = execa("nsenter", [`--net=${to.path}`, "--", "iperf3", "-s", "-1", "-p", `${port}`, "--forceflush"]);
  await new Promise((resolve) => server.stdout.once("data", resolve));
  const datagrams = limit > 0 ? ["-u", "-b", `${2 * limit}`, "-l", `${PAYLOAD}`] : [];
  const client = await from.must("iperf3", "-c", address, "-p", `${port}`, "-O", "1", "-t", "2", "-J", ...datagrams);
  await server;
  const { end } = JSON.parse(client) as { end: { sum_received: { bits_per_second: number } } };
  return end.sum_received.bits_per_second;
}

/** The share of what is limited that is payload. */
export const payloadOf = (family: 4 | 6): number => PAYLOAD / (PAYLOAD + HEADERS[family]);

/** Matches a rate that is a tenth off at most. */
export const within = (rate: number): object => expect.toSatisfy((seen: number) => Math.abs(seen / rate - 1) <= 0.1);
