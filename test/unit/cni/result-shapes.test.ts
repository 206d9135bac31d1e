import { describe, expect, it } from "vitest";
import { CniError } from "../../../src/cni/error.ts";
import { noDns, type Result } from "../../../src/cni/result.ts";
import { decodeDelegateResult, decodePrevResult, encodeResult } from "../../../src/protocol/result-shapes.ts";
import { type Version, versions } from "../../../src/cni/versions.ts";
import { parseIp, parsePrefix } from "../../../src/net/ip.ts";

/** The forms as the contract shows them, one line each. */
const old = (version: string) =>
  `{"cniVersion":"${version}","ip4":{"ip":"10.9.0.2/24","gateway":"10.9.0.1","routes":[{"dst":"0.0.0.0/0","gw":"10.9.0.1"}]},"ip6":{"ip":"fd00:9::2/64","gateway":"fd00:9::1"},"dns":{}}`;
const middle = (version: string) =>
  `{"cniVersion":"${version}","interfaces":[{"name":"br0","mac":"be:c3:0f:be:f2:60"},{"name":"eth0","mac":"9a:12:09:67:a2:d3","sandbox":"/run/netns/x"}],"ips":[{"version":"4","interface":1,"address":"10.9.0.2/24","gateway":"10.9.0.1"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.9.0.1"}],"dns":{"nameservers":["10.1.0.1"],"domain":"a","search":["b"],"options":["ndots:5"]}}`;
const v100 =
  '{"cniVersion":"1.0.0","interfaces":[{"mac":"6a:3e:d9:8a:c3:91","name":"br0"},{"mac":"a2:2c:64:6b:2e:bd","name":"eth0","sandbox":"/run/netns/x"}],"ips":[{"address":"10.9.0.2/24","gateway":"10.9.0.1","interface":1}],"routes":[{"dst":"0.0.0.0/0","gw":"10.9.0.1"}]}';
const v110 =
  '{"cniVersion":"1.1.0","interfaces":[{"mac":"6a:3e:d9:8a:c3:91","mtu":1500,"name":"eth0","pciID":"0000:01:00.0","sandbox":"/run/netns/x","socketPath":"/s"}],"ips":[{"address":"10.9.0.2/24","gateway":"10.9.0.1","interface":0}],"routes":[{"advmss":1300,"dst":"192.168.0.0/16","gw":"10.9.0.1","mtu":1400,"priority":50,"scope":0,"table":100}]}';

const compact = (result: Result, version: Version): string => JSON.stringify(JSON.parse(encodeResult(result, version)));
const decode = (json: string): Result => {
  const value = JSON.parse(json) as { cniVersion: Version };
  return decodePrevResult(value, value.cniVersion);
};
const convert = (json: string, version: Version): string => compact(decode(json), version);

describe("a result in the version it came in", () => {
  it.each([old("0.1.0"), old("0.2.0"), middle("0.3.0"), middle("0.3.1"), middle("0.4.0"), v100, v110])(
    "is printed as it was: %s",
    (json) => {
      expect(convert(json, (JSON.parse(json) as { cniVersion: Version }).cniVersion)).toBe(json);
    },
  );

  it("is printed with four spaces and no newline at the end", () => {
    expect(encodeResult({ interfaces: [], ips: [], routes: [], dns: noDns() }, "1.0.0")).toBe(
      '{\n    "cniVersion": "1.0.0"\n}',
    );
  });
});

describe("conversions", () => {
  it("between 1.0.0 and 1.1.0 change the version, but for the interface's mtu, which 1.0.0 does not know", () => {
    expect(convert(v100, "1.1.0")).toBe(v100.replace("1.0.0", "1.1.0"));
    expect(convert(v110, "1.0.0")).toBe(v110.replace("1.1.0", "1.0.0").replace('"mtu":1500,', ""));
  });

  it.each(["0.3.0", "0.3.1", "0.4.0"] as const)(
    "from 1.x to %s drop interface details, add the family and keep every field of a route",
    (version) => {
      expect(convert(v110, version)).toBe(
        `{"cniVersion":"${version}","interfaces":[{"name":"eth0","mac":"6a:3e:d9:8a:c3:91","sandbox":"/run/netns/x"}],"ips":[{"version":"4","interface":0,"address":"10.9.0.2/24","gateway":"10.9.0.1"}],"routes":[{"dst":"192.168.0.0/16","gw":"10.9.0.1","mtu":1400,"advmss":1300,"priority":50,"table":100,"scope":0}],"dns":{}}`,
      );
    },
  );

  it("from 0.3 and 0.4 to 1.x drop the family and sort the keys", () => {
    expect(convert(middle("0.4.0"), "1.1.0")).toBe(
      '{"cniVersion":"1.1.0","dns":{"domain":"a","nameservers":["10.1.0.1"],"options":["ndots:5"],"search":["b"]},"interfaces":[{"mac":"be:c3:0f:be:f2:60","name":"br0"},{"mac":"9a:12:09:67:a2:d3","name":"eth0","sandbox":"/run/netns/x"}],"ips":[{"address":"10.9.0.2/24","gateway":"10.9.0.1","interface":1}],"routes":[{"dst":"0.0.0.0/0","gw":"10.9.0.1"}]}',
    );
  });

  it.each(["0.1.0", "0.2.0"] as const)(
    "to %s keep the first address of each family and its family's routes, without their details",
    (version) => {
      const many =
        '{"cniVersion":"1.1.0","interfaces":[{"name":"eth0"}],"ips":[{"address":"fd00::2/64"},{"address":"10.9.0.2/24","gateway":"10.9.0.1"},{"address":"10.8.0.2/24"},{"address":"fd01::2/64"}],"routes":[{"dst":"::/0"},{"dst":"0.0.0.0/0","gw":"10.9.0.1","mtu":1400,"table":5},{"dst":"10.0.0.0/8"}]}';
      expect(convert(many, version)).toBe(
        `{"cniVersion":"${version}","ip4":{"ip":"10.9.0.2/24","gateway":"10.9.0.1","routes":[{"dst":"0.0.0.0/0","gw":"10.9.0.1"},{"dst":"10.0.0.0/8"}]},"ip6":{"ip":"fd00::2/64","routes":[{"dst":"::/0"}]},"dns":{}}`,
      );
      const onlyFour = '{"cniVersion":"1.0.0","ips":[{"address":"10.9.0.2/24"}],"routes":[{"dst":"::/0"}]}';
      expect(convert(onlyFour, version)).toBe(`{"cniVersion":"${version}","ip4":{"ip":"10.9.0.2/24"},"dns":{}}`);
    },
  );

  it("to 0.1.0 and 0.2.0 need an address", () => {
    for (const version of ["0.1.0", "0.2.0"] as const) {
      expect(() => convert('{"cniVersion":"1.0.0"}', version)).toThrow("cannot convert: no valid IP addresses");
    }
  });

  it("from 0.1 and 0.2 put IPv4 before IPv6, with no interfaces", () => {
    const both = old("0.2.0").replace('"gateway":"fd00:9::1"}', '"gateway":"fd00:9::1","routes":[{"dst":"::/0"}]}');
    expect(convert(both, "0.4.0")).toBe(
      '{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.9.0.2/24","gateway":"10.9.0.1"},{"version":"6","address":"fd00:9::2/64","gateway":"fd00:9::1"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.9.0.1"},{"dst":"::/0"}],"dns":{}}',
    );
  });

  it("between 0.1.0 and 0.2.0 copy", () => {
    expect(convert(old("0.1.0"), "0.2.0")).toBe(old("0.2.0"));
  });

  it("print zero where zero says something, and nowhere else", () => {
    const address = parsePrefix("10.0.0.1/8")!;
    const result: Result = {
      interfaces: [{ name: "", mac: "", mtu: 0, sandbox: "", socketPath: "", pciID: "" }],
      ips: [{ address, interface: 0 }],
      routes: [{ dst: address, gw: parseIp("10.0.0.9")!, mtu: 0, advmss: 0, priority: 0, table: 0, scope: 0 }],
      dns: noDns(),
    };
    expect(compact(result, "1.1.0")).toBe(
      '{"cniVersion":"1.1.0","interfaces":[{"name":""}],"ips":[{"address":"10.0.0.1/8","interface":0}],"routes":[{"dst":"10.0.0.1/8","gw":"10.0.0.9","scope":0,"table":0}]}',
    );
  });

  it("print dns always before 1.0.0, and only its parts that say something", () => {
    const result = {
      interfaces: [],
      ips: [{ address: parsePrefix("10.0.0.1/8")! }],
      routes: [],
      dns: { ...noDns(), search: ["a"] },
    };
    for (const version of versions) {
      expect(JSON.parse(encodeResult(result, version))).toMatchObject({ dns: { search: ["a"] } });
      const without = JSON.parse(encodeResult({ ...result, dns: noDns() }, version)) as object;
      if (version.startsWith("1.")) expect(without).not.toHaveProperty("dns");
      else expect(without).toMatchObject({ dns: {} });
    }
  });
});

describe("decodePrevResult", () => {
  const refusal = (json: unknown, version: Version): string => {
    try {
      decodePrevResult(json, version);
    } catch (error) {
      if (error instanceof CniError && error.code === 7) return error.message;
      throw error;
    }
    return "accepted";
  };

  it.each([
    ["0.1.0", ["0.1.0", "0.2.0", ""]],
    ["0.2.0", ["0.1.0", "0.2.0", ""]],
    ["0.3.0", ["0.3.0", "0.3.1", "0.4.0"]],
    ["0.4.0", ["0.3.0", "0.3.1", "0.4.0"]],
    ["1.0.0", ["1.0.0", "1.1.0"]],
    ["1.1.0", ["1.0.0", "1.1.0"]],
  ] as const)("for a configuration of %s takes the versions %j, none, and no other", (version, family) => {
    expect(refusal({}, version)).toBe("accepted");
    expect(refusal({ cniVersion: null }, version)).toBe("accepted");
    for (const own of ["", "1.2.0", ...versions]) {
      const expected = (family as readonly string[]).includes(own)
        ? "accepted"
        : expect.stringContaining(`prevResult.cniVersion is "${own}", must be one of`);
      expect(refusal({ cniVersion: own }, version)).toEqual(expected);
    }
  });

  it("reads the form of the configuration's version when it says none", () => {
    expect(decodePrevResult({ ip4: { ip: "10.0.0.1/8" } }, "0.2.0").ips).toHaveLength(1);
    expect(decodePrevResult({ ips: [{ address: "10.0.0.1/8" }] }, "0.3.1").ips).toHaveLength(1);
  });

  it("matches keys in any case", () => {
    const result = decodePrevResult(
      { CNIVersion: "1.0.0", IPs: [{ Address: "10.0.0.1/8", GateWay: "" }], Interfaces: [{ NAME: "a", Mac: "" }] },
      "1.1.0",
    );
    expect(result).toMatchObject({ ips: [{ address: { length: 8 } }], interfaces: [{ name: "a" }] });
    expect(result.ips[0]).not.toHaveProperty("gateway");
    expect(result.interfaces[0]).not.toHaveProperty("mac");
  });

  it("names every wrong key by its path", () => {
    const json = {
      ips: [{ address: "10.0.0.256/8", gateway: "x", interface: "0" }, {}],
      interfaces: {},
      routes: [{ gw: "10.0.0.1" }],
      dns: { search: "a" },
    };
    const message = refusal(json, "1.1.0");
    for (const part of [
      'prevResult.ips[0].address is "10.0.0.256/8", must be an address with a prefix length',
      'prevResult.ips[0].gateway is "x", must be an IP address',
      'prevResult.ips[0].interface is "0", must be a whole number',
      "prevResult.ips[1].address is missing",
      "prevResult.interfaces is {}, must be a list",
      "prevResult.routes[0].dst is missing",
      'prevResult.dns.search is "a", must be a list',
    ]) {
      expect(message).toContain(part);
    }
    expect(refusal([], "1.1.0")).toContain("prevResult is [], must be an object");
    expect(refusal({ cniVersion: 1 }, "1.1.0")).toContain("prevResult.cniVersion is 1, must be text");
  });
});

describe("decodeDelegateResult", () => {
  it("takes any version, the configuration's where there is none", () => {
    expect(decodeDelegateResult(JSON.parse(old("0.2.0")), "1.1.0", "static").ips).toHaveLength(2);
    expect(decodeDelegateResult(JSON.parse(v110), "0.2.0", "static").ips).toHaveLength(1);
    expect(decodeDelegateResult({ ip4: { ip: "10.0.0.1/8" } }, "0.1.0", "static").ips).toHaveLength(1);
    expect(
      decodeDelegateResult({ cniVersion: "", ips: [{ address: "10.0.0.1/8" }] }, "0.4.0", "static").ips,
    ).toHaveLength(1);
    expect(decodeDelegateResult({}, "1.0.0", "static")).toEqual({ interfaces: [], ips: [], routes: [], dns: noDns() });
  });

  it("says what is wrong with which plugin's answer, with code 6", () => {
    const refused = (json: unknown) => () => decodeDelegateResult(json, "1.1.0", "static");
    expect(refused({ cniVersion: "9.9" })).toThrow('unsupported CNI result version "9.9" from plugin "static"');
    expect(refused({ ips: [{ address: 1 }] })).toThrow(
      expect.objectContaining({
        code: 6,
        message: expect.stringContaining('invalid result of plugin "static": ips[0].address is 1, must be'),
      }),
    );
    expect(refused([])).toThrow('invalid result of plugin "static": it is [], must be an object');
  });
});
