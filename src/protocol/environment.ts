import { isLinkName } from "../net/link-name.ts";
import { Code, CniError } from "../cni/error.ts";
import type { Invocation, Verb } from "../cni/invocation.ts";
import { show } from "../cni/complaint.ts";

export type Environment = Record<string, string | undefined>;
export type EnvironmentPart = Pick<
  Invocation,
  "verb" | "containerId" | "netns" | "ifname" | "args" | "path" | "netnsOverride"
>;

const required: Record<Verb, readonly string[]> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME"],
  GC: [],
  STATUS: [],
  VERSION: [],
};
const isVerb = (command: string): command is Verb => Object.hasOwn(required, command);

/** SPEC.md, "Container ID" and "Network name": they become names of files and of firewall elements. */
const identifier = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
export const isIdentifier = (text: string): boolean => identifier.test(text);
export const identifierRule = "a letter or digit, then letters, digits and . _ -";

/** What bytes that are no UTF-8 were read as: a name with them could not be told from another one in a lease. */
const NO_UTF8 = "\ufffd";

const linkNameRule = "1 to 15 bytes without / : and white space, and not . or ..";

/**
 * What a runtime says through CNI_* variables, checked for the verb; an empty variable counts as one that is not set.
 * Throws one CniError 4 that names everything that is missing or wrong. CNI_PATH is asked for when something is
 * delegated.
 */
export function parseEnvironment(environment: Environment): EnvironmentPart {
  const verb = environment.CNI_COMMAND ?? "";
  if (!isVerb(verb)) {
    const known = Object.keys(required).join(", ");
    throw new CniError(
      Code.InvalidEnvironment,
      verb ? `unknown CNI_COMMAND: ${verb}` : "required env variables [CNI_COMMAND] missing",
      `known: ${known}`,
    );
  }
  const needed = required[verb];
  const read = (name: string): string =>
    needed.includes(name) || name === "CNI_NETNS" ? (environment[name] ?? "") : "";
  const part = { containerId: read("CNI_CONTAINERID"), netns: read("CNI_NETNS"), ifname: read("CNI_IFNAME") };

  const missing = needed.filter((name) => !environment[name]);
  const problems = missing.length > 0 ? [`required env variables [${missing.join(",")}] missing`] : [];
  const { containerId, ifname } = part;
  if (containerId && !isIdentifier(containerId)) {
    problems.push(
      `invalid characters in containerID: CNI_CONTAINERID is ${show(containerId)}, must be ${identifierRule}`,
    );
  }
  if (ifname && !isLinkName(ifname)) {
    problems.push(`invalid interface name: CNI_IFNAME is ${show(ifname)}, must be ${linkNameRule}`);
  } else if (verb === "ADD" && ifname.includes(NO_UTF8)) {
    problems.push(`invalid interface name: CNI_IFNAME is ${show(ifname)}, must be text in UTF-8`);
  }
  if (problems.length > 0) throw new CniError(Code.InvalidEnvironment, problems.join("; "));

  return {
    verb,
    ...part,
    args: environment.CNI_ARGS ?? "",
    path: environment.CNI_PATH ?? "",
    netnsOverride: ["1", "true"].includes((environment.CNI_NETNS_OVERRIDE ?? "").toLowerCase()),
  };
}
