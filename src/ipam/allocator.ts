import { addToIp, type Ip, sameIp } from "../net/ip.ts";
import { findRange, isGateway, type Range, type RangeSet } from "./range.ts";

/** An address that may be handed out, and the range it is from. */
export interface Candidate {
  ip: Ip;
  range: Range;
}

/**
 * Every address of the set once, in the reference's order: upwards from the one after `last` (from the first range's
 * start when `last` is in no range), range after range, around to the beginning, gateways left out. So an address that
 * was released is handed out again only after a full turn, and `last` itself comes last.
 */
export function* candidates(set: RangeSet, last?: Ip): Generator<Candidate> {
  const first = firstCandidate(set, last);
  let at = first;
  do {
    if (!isGateway(set, at.ip)) yield at;
    at = step(set, at);
  } while (!sameIp(at.ip, first.ip));
}

function firstCandidate(set: RangeSet, last: Ip | undefined): Candidate {
  const range = last && findRange(set, last);
  return last && range ? step(set, { ip: last, range }) : { ip: set[0]!.start, range: set[0]! };
}

function step(set: RangeSet, { ip, range }: Candidate): Candidate {
  if (!sameIp(ip, range.end)) return { ip: addToIp(ip, 1), range };
  const next = set[(set.indexOf(range) + 1) % set.length]!;
  return { ip: next.start, range: next };
}

/** How many candidates are tried on disk, one system call each, before the folder is read. */
const BLIND_TRIES = 64;

/**
 * The first candidate that `claim` gets. A set that is nearly full would cost one claim per lease, so after a while
 * `readTaken` is asked, once, for the addresses (as numbers, of the set's family) that have a file.
 */
export function claimFirst(
  set: RangeSet,
  last: Ip | undefined,
  claim: (ip: Ip) => boolean,
  readTaken: () => Set<bigint>,
): Candidate | undefined {
  let taken: Set<bigint> | undefined;
  let tries = 0;
  for (const candidate of candidates(set, last)) {
    if (taken?.has(candidate.ip.value)) continue;
    if (claim(candidate.ip)) return candidate;
    if (++tries === BLIND_TRIES) taken = readTaken();
  }
  return undefined;
}
