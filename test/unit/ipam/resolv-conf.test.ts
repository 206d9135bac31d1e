import { expect, test } from "vitest";
import { parseResolvConf } from "../../../src/ipam/resolv-conf.ts";

test("lines add up, but of several domains the last counts; comments, unknown and lone keywords say nothing", () => {
  const text = [
    "# nameserver 9.9.9.9",
    "; domain x",
    " nameserver 10.1.0.1 ignored",
    "nameserver\tfd00::53",
    "nameserver",
    "",
    "domain a.example b",
    "domain c.example",
    "search one two",
    "search three",
    "options ndots:5 timeout:1",
    "options rotate",
    "sortlist 10.0.0.0",
    "nameserver 10.1.0.2\r",
  ].join("\n");
  expect(parseResolvConf(text)).toEqual({
    nameservers: ["10.1.0.1", "fd00::53", "10.1.0.2"],
    domain: "c.example",
    search: ["one", "two", "three"],
    options: ["ndots:5", "timeout:1", "rotate"],
  });
});

test("an empty file says nothing", () => {
  expect(parseResolvConf("")).toEqual({ nameservers: [], domain: "", search: [], options: [] });
});
