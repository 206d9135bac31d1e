import { describe, expect, test } from "vitest";
import { parseIp } from "../../../src/net/ip.ts";
import { ChoiceError, choosePod, type Named } from "../../../src/survey/choose.ts";

const named = (containerId: string, pod: string, ip: string, link: string): Named => {
  const [namespace, name] = pod.split("/");
  return {
    owner: { containerId },
    ...(name !== undefined && { pod: { namespace: namespace!, name } }),
    addresses: [parseIp(ip)!],
    netns: `/var/run/netns/cni-${containerId}`,
    link: { name: link },
  };
};
const id = "5f".repeat(32);
const all = [
  named(id, "default/web-6d5f", "10.1.0.2", "veth1"),
  named(id, "default/web-6d5f", "10.2.0.2", "veth2"),
  named("blue", "", "fd00::2", "veth3"),
  named("b1", "default/web-77", "10.1.0.3", "veth4"),
  named("b2", "default/web", "10.1.0.4", "veth5"),
];
const chosen = (word: string): (string | undefined)[] => choosePod(all, word).map(({ link }) => link?.name);
const refusal = (word: string): string => {
  try {
    return chosen(word).join();
  } catch (error) {
    if (error instanceof ChoiceError) return error.message;
    throw error;
  }
};

describe("choosePod", () => {
  test.each([
    ["default/web-6d5f", ["veth1", "veth2"]],
    ["default/web-6", ["veth1", "veth2"]],
    ["web-6", ["veth1", "veth2"]],
    ["default/web", ["veth5"]],
    ["web", ["veth5"]],
    [id, ["veth1", "veth2"]],
    [id.slice(0, 5), ["veth1", "veth2"]],
    ["10.2.0.2", ["veth1", "veth2"]],
    ["10.2.0.2/24", ["veth1", "veth2"]],
    ["fd00:0::2", ["veth3"]],
    ["veth3", ["veth3"]],
    ["/run/netns/cni-blue", ["veth3"]],
    ["cni-blue", ["veth3"]],
  ])("%s is one pod, with all its interfaces", (word, links) => {
    expect(chosen(word)).toEqual(links);
  });

  test.each([
    ["we", /may be default\/web \(10\.1\.0\.4\), default\/web-6d5f \(10\.1\.0\.2\)/],
    ["b", /may be blue \(fd00::2\), .*default\/web-77 .*say more of it/],
    ["default/", /may be/],
    ["red", /no pod is red; a pod is a namespace\/name .*there are blue/],
    ["", /no pod is/],
    ["10.1.0.9", /no pod is 10\.1\.0\.9/],
  ])("%j is none, or several: they are listed", (word, message) => {
    expect(refusal(word)).toMatch(message);
  });

  test("says that there is none at all", () => {
    expect(() => choosePod([], "x")).toThrow(/there is none on this node/);
  });
});
