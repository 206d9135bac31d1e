import { expect, test } from "vitest";
import { parseIp } from "../../../src/net/ip.ts";
import { ensureRecord, findRecord } from "../../../src/node/record.ts";
import { LeaseNode, owner } from "./node.ts";

test("a record that is written again, longer or shorter, is the new one", () => {
  const { folder } = new LeaseNode();
  for (const addresses of [[], ["10.9.0.2", "fd00:9::2"], ["10.9.0.2"], ["10.9.0.2", "fd00:9::2"], []]) {
    const record = { owner: owner("c1"), ips: addresses.map((address) => parseIp(address)!), marker: "m" };
    ensureRecord(folder, record);
    expect(findRecord(folder, owner("c1"))).toEqual(record);
  }
});
