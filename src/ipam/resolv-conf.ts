import { type Dns, noDns } from "../cni/result.ts";

/** What resolv.conf(5) text says for a result; of several `domain` lines the last counts, the other keywords add up. */
export function parseResolvConf(text: string): Dns {
  const dns = noDns();
  for (const line of text.split("\n")) {
    const [keyword, value, ...more] = line.trim().split(/\s+/);
    if (!value) continue; // a keyword alone, or an empty line; comment lines start with no keyword we know
    if (keyword === "nameserver") dns.nameservers.push(value);
    else if (keyword === "domain") dns.domain = value;
    else if (keyword === "search") dns.search.push(value, ...more);
    else if (keyword === "options") dns.options.push(value, ...more);
  }
  return dns;
}
