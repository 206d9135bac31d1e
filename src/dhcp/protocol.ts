import { CniError, Code } from "../cni/error.ts";
import { ip } from "../cni/fields.ts";
import { tryJson } from "../cni/json.ts";
import { parseAs } from "../cni/reading.ts";
import type { Addressing } from "../cni/result.ts";
import { anything, choice, type Infer, integer, list, optional, orElse, shape, text } from "../cni/schema.ts";
import { noDns } from "../cni/result.ts";
import { newest } from "../cni/versions.ts";
import { decodeDelegateResult, encodeResult } from "../protocol/result-shapes.ts";
import { askedSchema } from "./record.ts";
import type { Lease } from "./lease.ts";

// What plugin and daemon say to each other over the socket: one line of JSON each way, and before its answer the
// daemon's greeting. They are the same file; the reference's at the other end is told by its first words.

const requestSchema = shape({
  verb: choice("ADD", "CHECK", "DEL", "GC", "STATUS"),
  network: orElse(text(), ""),
  containerId: orElse(text(), ""),
  ifname: orElse(text(), ""),
  netns: orElse(text(), ""),
  asked: orElse(askedSchema, { provide: [], request: [] }),
  /** CHECK: the address prevResult says the pod has */
  address: optional(ip),
  /** GC: what stays */
  valid: orElse(list(shape({ containerId: text(), ifname: text() })), []),
});

export type Request = Infer<typeof requestSchema>;
/** A request as JSON has it. */
export type WrittenRequest = Partial<Omit<Request, "address"> & { address: string }>;

const subject = { code: Code.Decode, what: "request", root: "" };

/** A request as the plugin sends it, without the newline; CniError 6 for any other. */
export const decodeRequest = (line: string): Request => parseAs(requestSchema, tryJson(line), subject);

const greetingSchema = shape({ podwire: text(), withinMs: integer(0, 0xffff_ffff) });

export const encodeGreeting = (withinMs: number): string => `${JSON.stringify({ podwire: "dhcp-daemon", withinMs })}\n`;

/** Within what time the daemon will have answered; undefined where it is no daemon of podwire's. */
export function decodeGreeting(line: string): number | undefined {
  try {
    return parseAs(greetingSchema, tryJson(line), subject).withinMs;
  } catch (error) {
    if (error instanceof CniError) return undefined;
    throw error;
  }
}

const answerSchema = shape({
  result: optional(anything()),
  error: optional(shape({ code: integer(), msg: text(), details: orElse(text(), "") })),
});

/** ADD alone has a lease to tell of. */
export type Answer = Lease | undefined | CniError;

export function encodeAnswer(answer: Answer): string {
  if (answer instanceof CniError) {
    const { code, message, details } = answer;
    return `${JSON.stringify({ error: { code, msg: message, details } })}\n`;
  }
  const addressing = answer && {
    interfaces: [],
    ips: [{ address: answer.address, ...(answer.gateway && { gateway: answer.gateway }) }],
    routes: answer.routes,
    dns: noDns(),
  };
  const result = addressing ? (JSON.parse(encodeResult(addressing, newest)) as unknown) : {};
  return `${JSON.stringify({ result })}\n`;
}

/** What the daemon gave; its error is thrown. CniError 6 for what is no answer. */
export function decodeAnswer(line: string): Addressing {
  const { result, error } = parseAs(answerSchema, tryJson(line), { ...subject, what: "answer of the DHCP daemon" });
  if (error) throw new CniError(error.code, error.msg, error.details);
  const { ips, routes, dns } = decodeDelegateResult(result ?? {}, newest, "dhcp");
  return { ips, routes, dns };
}
