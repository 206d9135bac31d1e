import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../src/cni/reading.ts";
import { shape, optional } from "../../../src/cni/schema.ts";
import { formatPrefix, parsePrefix } from "../../../src/net/ip.ts";
import {
  chooseBackend,
  planPorts,
  portMappingComplaints,
  portMappingFields,
  portMappingList,
} from "../../../src/plugins/port-mappings.ts";

const schema = shape(
  { ...portMappingFields, runtimeConfig: optional(shape({ portMappings: optional(portMappingList) })) },
  portMappingComplaints,
);
const prefixes = (...texts: string[]) => texts.map((text) => parsePrefix(text)!);
const dual = prefixes("10.1.0.5/24", "10.1.0.6/24", "fd00::5/64");
const plan = (mappings: object[], keys: object = {}, addresses = dual) =>
  planPorts(parseConfig(schema, { ...keys, runtimeConfig: { portMappings: mappings } }), addresses);
const web = { hostPort: 80, containerPort: 8080, protocol: "tcp" };

describe("a plan of port mappings", () => {
  test("leads to no address where nothing can be mapped", () => {
    expect(plan([])).toMatchObject({ mappings: [], addresses: [] });
    expect(plan([web], {}, []).addresses).toEqual([]);
    expect(plan([{ ...web, hostIP: "192.0.2.1" }], {}, prefixes("fd00::5/64")).addresses).toEqual([]);
    expect(plan([{ ...web, hostIP: "::" }], {}, prefixes("10.1.0.5/24")).addresses).toEqual([]);
  });

  test("has the first address of each family that a mapping is for", () => {
    const addresses = (...mappings: object[]) => plan(mappings).addresses.map(formatPrefix);
    expect(addresses(web)).toEqual(["10.1.0.5/24", "fd00::5/64"]);
    expect(addresses({ ...web, hostIP: "0.0.0.0" })).toEqual(["10.1.0.5/24"]);
    expect(addresses({ ...web, hostIP: "::" })).toEqual(["fd00::5/64"]);
    expect(addresses({ ...web, hostIP: "::ffff:192.0.2.1" })).toEqual(["10.1.0.5/24"]);
  });

  test("has the defaults of the reference", () => {
    expect(plan([web])).toMatchObject({
      backend: "nftables",
      snat: true,
      masqAll: false,
      markMasqBit: 13,
      conditions: { 4: [], 6: [] },
      mappings: [{ hostPort: 80, containerPort: 8080, protocol: "tcp" }],
    });
  });

  test("maps a host port once", () => {
    expect(
      plan([
        web,
        { ...web, containerPort: 1 },
        { ...web, protocol: "UDP" },
        { ...web, hostIP: "192.0.2.1" },
      ]).mappings.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`),
    ).toEqual(["8080/tcp", "8080/udp", "8080/tcp"]);
  });
});

test.each([
  [{}, "nftables"],
  [{ backend: "iptables" as const }, "iptables"],
  [{ externalSetMarkChain: "X" }, "iptables"],
  [{ conditionsV4: ["!", "-s", "1.2.3.4"] }, "iptables"],
  [{ conditionsV6: ["-i", "eth0"] }, "iptables"],
  [{ conditionsV4: ["ip saddr 1.2.3.4"] }, "nftables"],
  [{ conditionsV4: [""] }, "nftables"],
])("the backend for %j is %s", (keys, backend) => {
  expect(chooseBackend(keys)).toBe(backend);
});
