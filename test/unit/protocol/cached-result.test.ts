import { describe, expect, test } from "vitest";
import { decodeCached } from "../../../src/protocol/cached-result.ts";

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
const cached = (more: object = {}): string =>
  JSON.stringify({
    kind: "cniCacheV1",
    containerId: "one",
    config: base64({ cniVersion: "0.3.1", name: "kindnet", plugins: [{ type: "ptp" }, { type: "portmap" }] }),
    ifName: "eth0",
    networkName: "kindnet",
    netns: "/run/netns/one",
    cniArgs: [
      ["IgnoreUnknown", "1"],
      ["K8S_POD_NAMESPACE", "default"],
      ["K8S_POD_NAME", "web"],
    ],
    capabilityArgs: { portMappings: [{ hostPort: 80 }] },
    result: { cniVersion: "0.3.1" },
    ...more,
  });

describe("a result libcni keeps", () => {
  test("says what was attached, how, and for which pod", () => {
    expect(decodeCached(cached(), "/file")).toEqual({
      owner: { network: "kindnet", containerId: "one", ifname: "eth0" },
      netns: "/run/netns/one",
      args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
      pod: { namespace: "default", name: "web" },
      cniVersion: "0.3.1",
      plugins: [{ type: "ptp" }, { type: "portmap" }],
      capabilityArgs: { portMappings: [{ hostPort: 80 }] },
      result: { cniVersion: "0.3.1" },
      file: "/file",
    });
  });

  test("of a single plugin's configuration is a list of one; null is nothing, as Go writes it", () => {
    const config = base64({ cniVersion: "1.0.0", name: "pods", type: "bridge" });
    expect(decodeCached(cached({ config, cniArgs: null, capabilityArgs: null }), "")).toMatchObject({
      args: "",
      plugins: [{ type: "bridge" }],
      capabilityArgs: {},
    });
  });

  test.each([
    ["", /no JSON object/],
    ["[]", /no JSON object/],
    ['{"cniVersion":"0.3.1"}', /kind is ""/],
    [cached({ containerId: "" }), /names no attachment/],
    [cached({ result: null }), /names no attachment/],
    [cached({ config: "!" }), /configuration cannot be read/],
    [cached({ config: base64("text") }), /configuration cannot be read/],
  ])("%j says nothing, and why", (json, why) => {
    expect(decodeCached(json, "")).toMatch(why);
  });
});
