import { decodeUtf8 } from "../../net/bytes.ts";
import { findLstat, readFile } from "../../kernel/file.ts";
import { S_IFREG, SystemError } from "../../kernel/linux.ts";
import { processesInside, rootOf } from "../../kernel/processes.ts";
import { reportedDns } from "../../survey/calls.ts";
import { ok, skip, warn } from "../finding.ts";
import type { Layer } from "./layer.ts";

const LAYER = "resolver";
/** A file of the pod is read no further. */
const LONGEST = 64 << 10;

/** The name servers its plugins reported, and those the pod asks. */
export const resolver: Layer = ({ attached: { cached, netns, pod }, inside }, { isThorough }) => {
  const expected = (cached && reportedDns(cached)?.nameservers) ?? [];
  if (!isThorough || !inside || expected.length === 0) return [];
  const asked = findNameServers(netns);
  if (!asked) return [skip(LAYER, "no process of the pod's has an /etc/resolv.conf of its own that can be read")];
  const is = asked.join(", ") || "none";
  if (is === expected.join(", ")) return [ok(LAYER, `${is}, as its plugins reported`)];
  // kubelet never takes what plugins report
  if (pod) return [skip(LAYER, `${is}: written by kubelet, by the pod's dnsPolicy, not as plugins reported`)];
  return [
    warn(LAYER, "the pod's /etc/resolv.conf is not as its plugins reported", {
      expected: expected.join(", "),
      is,
      mend: "who starts the pod writes that file: see the runtime's settings of DNS, then start the pod anew",
    }),
  ];
};

/** A link in the pod would lead to the node's files, so it is not followed. */
function findNameServers(netns: string): string[] | undefined {
  for (const number of processesInside(netns)) {
    const path = `${rootOf(number)}/etc/resolv.conf`;
    try {
      if (findLstat(path)?.type === S_IFREG) return nameServersIn(decodeUtf8(readFile(path, LONGEST)));
    } catch (error) {
      if (!(error instanceof SystemError)) throw error; // it ended, or the file is nobody's to read
    }
  }
  return undefined;
}

/** resolv.conf(5): one a line */
const nameServersIn = (text: string): string[] =>
  text.split("\n").flatMap((line) => /^nameserver\s+([0-9A-Fa-f.:%\w]+)/.exec(line)?.[1] ?? []);
