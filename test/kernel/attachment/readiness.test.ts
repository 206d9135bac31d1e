import { afterEach, beforeEach, expect, test } from "vitest";
import { waitForDelivery } from "../../../src/attachment/link/readiness.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../../src/kernel/netlink.ts";
import { addAddress } from "../../../src/netlink/rtnetlink/address.ts";
import { createVeth, decodeLink, deleteLink, getLink, setLink } from "../../../src/netlink/rtnetlink/link.ts";
import { isLocal } from "../../../src/kernel/route-lookup.ts";
import { requireIsolation } from "../../harness/paths.ts";
import { ip, prefix } from "./plans.ts";

const names = {
  host: { name: `ra${process.pid}`, mac: "02:00:00:00:00:01" },
  pod: { name: `rb${process.pid}`, mac: "02:00:00:00:00:02" },
};
let socket: NetlinkSocket;
const open = (): NetlinkSocket => NetlinkSocket.open(NETLINK_ROUTE);

beforeEach(() => {
  requireIsolation();
  socket = open();
});
afterEach(() => socket.close());

/** A fresh veth end, up, that was given the address a moment ago. */
function giveAddress(): void {
  socket.request([createVeth(names)]);
  const [a, b] = [names.host, names.pod].map(({ name }) => decodeLink(socket.request([getLink(name)])[0]!)!);
  socket.request([setLink(b!, { up: true }), addAddress(a!, prefix("fd00:9::2/128")), setLink(a!, { up: true })]);
}

test("an IPv6 address takes packets when the wait is over, every time", () => {
  for (let round = 0; round < 100; round++) {
    giveAddress();
    waitForDelivery({ socket, open }, [ip("fd00:9::2")]);
    expect(isLocal(socket, ip("fd00:9::2"))).toBe(true);
    socket.request([deleteLink(names.host.name)]);
  }
});

test("IPv4 and link-local addresses are not waited for", () => {
  const listen = (): NetlinkSocket => {
    throw new Error("it listens for what comes");
  };
  waitForDelivery({ socket, open: listen }, [ip("10.9.0.2"), ip("fe80::1")]);
  expect(() => waitForDelivery({ socket, open: listen }, [ip("fd00:9::2")])).toThrow("it listens");
});
