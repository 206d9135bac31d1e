import { describe, expect, it } from "vitest";
import { dns, ip, mac, overridingDns, prefix, route, toDns } from "../../../src/cni/fields.ts";
import { parseConfig } from "../../../src/cni/reading.ts";
import { optionalOrEmpty, shape } from "../../../src/cni/schema.ts";
import { formatIp, formatPrefix } from "../../../src/net/ip.ts";

const schema = shape({
  ip: optionalOrEmpty(ip),
  prefix: optionalOrEmpty(prefix),
  mac: optionalOrEmpty(mac),
  route: optionalOrEmpty(route),
  dns: optionalOrEmpty(dns),
});

describe("addresses", () => {
  it.each([
    ["10.0.0.1", "10.0.0.1"],
    ["FD00:0:0::1", "fd00::1"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
  ])("%s is %s", (text, canonical) => {
    expect(formatIp(parseConfig(schema, { ip: text }).ip!)).toBe(canonical);
  });

  it.each(["010.0.0.1", "10.0.0", "fe80::1%eth0", "10.0.0.1/8", " 10.0.0.1", 5])("%j is none", (text) => {
    expect(() => parseConfig(schema, { ip: text })).toThrow(`ip is ${JSON.stringify(text)}, must be an IP address`);
  });

  it("keeps the host bits of a prefix", () => {
    expect(formatPrefix(parseConfig(schema, { prefix: "10.1.2.3/8" }).prefix!)).toBe("10.1.2.3/8");
    expect(() => parseConfig(schema, { prefix: "10.1.2.3/33" })).toThrow("must be an address with a prefix length");
  });

  it.each(["0A:58:0a:01:00:02", "0a-58-0a-01-00-02", "0a58.0a01.0002"])("reads the MAC %s", (text) => {
    expect(parseConfig(schema, { mac: text }).mac).toBe("0a:58:0a:01:00:02");
  });
});

describe("route", () => {
  it("has its numbers only where they are written", () => {
    const plain = parseConfig(schema, { route: { dst: "0.0.0.0/0", gw: "" } }).route!;
    expect(Object.keys(plain)).toEqual(["dst"]);
    const full = parseConfig(schema, {
      route: { Dst: "::/0", GW: "fd00::1", MTU: 1400, AdvMSS: 1300, priority: 0, table: 254, scope: 253 },
    }).route!;
    expect(full).toMatchObject({ mtu: 1400, advmss: 1300, priority: 0, table: 254, scope: 253 });
  });

  it("needs a destination", () => {
    expect(() => parseConfig(schema, { route: { gw: "10.0.0.1" } })).toThrow(
      "route.dst is missing, must be an address with a prefix length",
    );
    expect(() => parseConfig(schema, { route: { dst: "0.0.0.0/0", scope: 256 } })).toThrow("route.scope is 256");
  });
});

describe("dns", () => {
  it.each([[undefined], [{}], [{ domain: "" }], [{ nameservers: null }]])("%j does not replace IPAM's", (written) => {
    expect(overridingDns(parseConfig(schema, { dns: written ?? null }).dns)).toBeUndefined();
  });

  it.each([[{ nameservers: [] }], [{ search: [] }], [{ options: [] }], [{ domain: "a" }]])("%j does", (written) => {
    expect(overridingDns(parseConfig(schema, { dns: written }).dns)).toEqual({
      nameservers: [],
      domain: "",
      search: [],
      options: [],
      ...written,
    });
  });

  it("is filled in", () => {
    expect(toDns({ search: ["a"] })).toEqual({ nameservers: [], domain: "", search: ["a"], options: [] });
  });
});
