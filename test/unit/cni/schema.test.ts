import { describe, expect, it } from "vitest";
import { CniError } from "../../../src/cni/error.ts";
import { quietLog } from "../../../src/cni/log.ts";
import { parseConfig, parseLeniently, readConfig } from "../../../src/cni/reading.ts";
import {
  anything,
  choice,
  decoded,
  flag,
  type Infer,
  integer,
  list,
  map,
  optional,
  optionalOrEmpty,
  orElse,
  shape,
  text,
} from "../../../src/cni/schema.ts";

const trunk = shape(
  { id: optional(integer(1, 4094)), minID: optional(integer(1, 4094)), maxID: optional(integer(1, 4094)) },
  ({ minID, maxID }) =>
    (minID === undefined) === (maxID === undefined) ? [] : [{ at: "minID", must: "must come together with maxID" }],
);
const schema = shape({
  bridge: orElse(
    text("a link name", (name) => name.length > 0 && name.length < 16),
    "cni0",
  ),
  isGateway: flag(),
  mtu: optional(integer(0, 65535)),
  backend: optional(choice("iptables", "nftables")),
  vlanTrunk: optional(list(trunk)),
  gateway: optionalOrEmpty(decoded((value) => (value === "10.0.0.1" ? { ip: value } : undefined), "an IP address")),
  ipam: optional(shape({ type: orElse(text(), ""), ranges: orElse(list(list(shape({ subnet: text() }))), []) })),
  sysctl: optional(map(text())),
  raw: optional(anything()),
});

const failure = (json: unknown): string => {
  try {
    parseConfig(schema, json);
  } catch (error) {
    if (error instanceof CniError && error.code === 7) return error.message;
    throw error;
  }
  throw new Error("it was accepted");
};

describe("parseConfig", () => {
  it("fills in defaults and leaves out what is absent", () => {
    const config: Infer<typeof schema> = parseConfig(schema, {});
    expect(config).toEqual({ bridge: "cni0", isGateway: false });
    expect(parseConfig(schema, { ipam: {} }).ipam).toEqual({ type: "", ranges: [] });
  });

  it("asks rules beside wrong keys too, but not about those, nor where a required one is wrong", () => {
    const pair = shape({ one: flag(), two: orElse(integer(0, 9), 5), three: flag() }, ({ one, two, three }) => [
      ...(one ? [{ at: "one", must: "must not be true" }] : []),
      ...(two === 5 ? [{ at: "two", must: "must not be 5" }] : []),
      ...(three ? [{ at: "three", must: "must not be true" }] : []),
    ]);
    const wrong = shape({
      pair: optional(pair),
      needy: optional(shape({ it: text() }, () => [{ at: "it", must: "!" }])),
    });
    const complaint = (json: unknown): string => {
      try {
        return JSON.stringify(parseConfig(wrong, json));
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(complaint({ pair: { one: true, two: "x", three: true } })).toBe(
      'invalid configuration: pair.two is "x", must be a whole number from 0 to 9; ' +
        "pair.one is true, must not be true; pair.three is true, must not be true",
    );
    expect(complaint({ needy: { it: 7 } })).toBe("invalid configuration: needy.it is 7, must be text");
  });

  it("matches keys in any case at every depth", () => {
    const json = { BRIDGE: "b", IsGateWay: true, IPAM: { Type: "host-local", RANGES: [[{ Subnet: "x" }]] } };
    expect(parseConfig(schema, json)).toEqual({
      bridge: "b",
      isGateway: true,
      ipam: { type: "host-local", ranges: [[{ subnet: "x" }]] },
    });
  });

  it("takes the later of two spellings, whichever is exact", () => {
    expect(parseConfig(schema, JSON.parse('{"mtu":1,"MTU":2}')).mtu).toBe(2);
    expect(parseConfig(schema, JSON.parse('{"MTU":2,"mtu":1}')).mtu).toBe(1);
    expect(parseConfig(schema, JSON.parse('{"mtu":1,"MTU":null}')).mtu).toBe(1);
  });

  it("takes null as absent and ignores unknown keys", () => {
    expect(
      parseConfig(schema, {
        bridge: null,
        isGateway: null,
        mtu: null,
        ipam: null,
        vlanTrunk: null,
        gateway: null,
        unknown: 1,
      }),
    ).toEqual({
      bridge: "cni0",
      isGateway: false,
    });
  });

  it("keeps the case of a map's keys, both of two spellings, and drops null ones", () => {
    const sysctl = { "net.core.A": "1", "net.core.a": "2", x: null };
    expect(parseConfig(schema, { Sysctl: sysctl }).sysctl).toEqual({ "net.core.A": "1", "net.core.a": "2" });
  });

  it("takes integers written with a point, not fractions or what is too large to be exact", () => {
    expect(parseConfig(schema, JSON.parse('{"mtu":1500.0}')).mtu).toBe(1500);
    expect(parseConfig(schema, JSON.parse('{"mtu":1.5e3}')).mtu).toBe(1500);
    expect(failure({ mtu: 1.5 })).toBe("invalid configuration: mtu is 1.5, must be a whole number from 0 to 65535");
    expect(failure({ mtu: -1 })).toContain("mtu is -1, ");
    expect(failure(JSON.parse('{"mtu":1e400}'))).toContain("mtu is Infinity");
  });

  it("takes an empty string for absent where that is said", () => {
    expect(parseConfig(schema, { gateway: "" })).not.toHaveProperty("gateway");
    expect(parseConfig(schema, { gateway: "10.0.0.1", Gateway: "" })).not.toHaveProperty("gateway");
    expect(parseConfig(schema, { gateway: "10.0.0.1" }).gateway).toEqual({ ip: "10.0.0.1" });
    expect(failure({ gateway: "x" })).toBe('invalid configuration: gateway is "x", must be an IP address');
  });

  it("names every wrong key at once, with its path, its value and what is allowed", () => {
    const json = {
      bridge: "a-name-that-is-too-long",
      isGateway: "yes",
      mtu: "1500",
      backend: "ebtables",
      VlanTrunk: [{ id: 1 }, { ID: 5000 }, null, { minID: 3 }],
      ipam: { type: 1, ranges: [[{ subnet: "a" }, { subnet: 2 }, {}], "x"] },
      sysctl: { "net.ipv4.conf": 1 },
    };
    expect(failure(json)).toBe(
      "invalid configuration: " +
        [
          'bridge is "a-name-that-is-too-long", must be a link name',
          'isGateway is "yes", must be true or false',
          'mtu is "1500", must be a whole number from 0 to 65535',
          'backend is "ebtables", must be "iptables" or "nftables"',
          "vlanTrunk[1].id is 5000, must be a whole number from 1 to 4094",
          "vlanTrunk[2] is null, must be an object",
          "vlanTrunk[3].minID is 3, must come together with maxID",
          "ipam.type is 1, must be text",
          "ipam.ranges[0][1].subnet is 2, must be text",
          "ipam.ranges[0][2].subnet is missing, must be text",
          'ipam.ranges[1] is "x", must be a list',
          'sysctl["net.ipv4.conf"] is 1, must be text',
        ].join("; "),
    );
  });

  it("shortens long values", () => {
    expect(failure({ mtu: "x".repeat(1000) })).toBe(
      `invalid configuration: mtu is "${"x".repeat(59)}..., must be a whole number from 0 to 65535`,
    );
  });

  it("says where a part of the configuration stood", () => {
    expect(() => parseConfig(schema, { mtu: true }, "prevResult")).toThrow(
      "prevResult.mtu is true, must be a whole number",
    );
    expect(() => parseConfig(schema, [], "prevResult")).toThrow("prevResult is [], must be an object");
  });

  it("is not impressed by keys of prototypes", () => {
    const json = JSON.parse(
      '{"__proto__":{"mtu":5},"constructor":1,"toString":2,"hasOwnProperty":3,"sysctl":{"__proto__":"x","constructor":"y"}}',
    );
    const config = parseConfig(schema, json);
    expect(config.mtu).toBeUndefined();
    expect(Object.getPrototypeOf(config)).toBe(Object.prototype);
    expect(config.sysctl).toEqual({ constructor: "y" });
    expect(Object.getPrototypeOf(config.sysctl)).toBe(Object.prototype);
    expect(({} as { mtu?: number }).mtu).toBeUndefined();
  });

  it("shows a value nested deeper than JSON.stringify can go", () => {
    let deep: unknown = [];
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(failure({ mtu: deep })).toContain("mtu is a list nested too deeply to show, must be a whole number");
    expect(parseConfig(schema, { unknown: deep }).bridge).toBe("cni0");
  });
});

describe("parseLeniently", () => {
  it("keeps what is valid and says what it dropped", () => {
    const { value, dropped } = parseLeniently(schema, {
      Bridge: 5,
      MTU: "x",
      isGateway: true,
      ipam: { type: "t", ranges: [[{ subnet: "a" }, { subnet: 2 }], 3] },
    });
    expect(value).toEqual({ bridge: "cni0", isGateway: true, ipam: { type: "t", ranges: [[{ subnet: "a" }]] } });
    expect(dropped).toEqual([
      "bridge is 5, must be a link name",
      'mtu is "x", must be a whole number from 0 to 65535',
      "ipam.ranges[0][1].subnet is 2, must be text",
      "ipam.ranges[1] is 3, must be a list",
      "ipam.ranges[0][1].subnet is missing, must be text",
    ]);
  });

  it("drops the key a rule blames and keeps the rest", () => {
    const { value } = parseLeniently(schema, {
      vlanTrunk: [
        { id: 1, minID: 2 },
        { minID: 1, maxID: 5 },
      ],
    });
    expect(value.vlanTrunk).toEqual([{ id: 1 }, { minID: 1, maxID: 5 }]);
  });

  it.each([[null], [[]], ["text"], [5], [undefined], [{ ipam: [] }], [{ ipam: { ranges: "x" } }]])(
    "never throws: %j",
    (json) => {
      expect(parseLeniently(schema, json).value.bridge).toBe("cni0");
    },
  );

  it("uses the earlier of two spellings when the later is wrong", () => {
    expect(parseLeniently(schema, JSON.parse('{"mtu":5,"MTU":"x","mTu":null}')).value.mtu).toBe(5);
    expect(parseLeniently(schema, JSON.parse('{"Mtu":5,"MTU":"x"}')).value.mtu).toBe(5);
  });

  it("keeps what is valid among some hundred wrong elements, in one pass", () => {
    const ranges = Array.from({ length: 900 }, (_, at) => [{ subnet: `10.${at}` }, { x: at }]);
    const { value, dropped } = parseLeniently(schema, { mtu: 7, ipam: { type: "t", ranges } });
    expect(value).toMatchObject({ mtu: 7, ipam: { type: "t" } });
    expect(value.ipam?.ranges).toEqual(ranges.map(([first]) => [first]));
    expect(dropped).toHaveLength(31);
    expect(dropped.at(-1)).toBe("and 870 more");
  });

  it("gives up a list of a hundred thousand wrong ones, in less than a second", () => {
    const ranges = Array.from({ length: 100_000 }, (_, at) => [{ x: at }, 1]);
    const started = performance.now();
    const { value, dropped } = parseLeniently(schema, { mtu: 7, ipam: { type: "t", ranges } });
    expect(performance.now() - started).toBeLessThan(1000);
    expect(value).toMatchObject({ mtu: 7, ipam: { type: "t", ranges: [] } });
    expect(dropped.length).toBeLessThan(40);
    expect(failure({ ipam: { ranges } })).toMatch(
      /^invalid configuration: ipam\.ranges\[0\]\[0\]\.subnet is missing.*and \d+ more$/,
    );
  });

  it("drops what holds a missing key, and only that", () => {
    const ranges = [[{ subnet: "a" }, {}], [{ SUBNET: null }], [{ subnet: "b", gateway: 5 }]];
    expect(parseLeniently(schema, { ipam: { ranges } }).value.ipam?.ranges).toEqual([
      [{ subnet: "a" }],
      [],
      [{ subnet: "b" }],
    ]);
  });
});

describe("readConfig", () => {
  const warnings: string[] = [];
  const log = quietLog((message) => warnings.push(message));

  it("is strict for ADD, CHECK and STATUS", () => {
    for (const verb of ["ADD", "CHECK", "STATUS"] as const) {
      expect(() => readConfig(schema, { verb, config: { mtu: "x" }, log })).toThrow(CniError);
    }
  });

  it("goes on with what is valid for DEL and GC, and warns", () => {
    for (const verb of ["DEL", "GC"] as const) {
      warnings.length = 0;
      expect(readConfig(schema, { verb, config: { mtu: "x", bridge: "b" }, log })).toEqual({
        bridge: "b",
        isGateway: false,
      });
      expect(warnings).toEqual(['ignored in the configuration: mtu is "x", must be a whole number from 0 to 65535']);
    }
  });
});
