import { expect, test } from "vitest";
import { isLinkName, isNewLinkName } from "../../../src/net/link-name.ts";

test.each(["eth0", "a", "bridge.100", "123456789012345", "äöüäöüä", "veth~1"])("%j names a link", (text) => {
  expect(isLinkName(text)).toBe(true);
});

test.each(["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\u00a0b", "1234567890123456", "äöüäöüää"])(
  "%j does not",
  (text) => {
    expect(isLinkName(text)).toBe(false);
  },
);

test("a new link's name has no pattern of the kernel's in it, and is none of its sysctls'", () => {
  const named = ["eth0", "All", "default0"];
  const unnamed = ["eth%d", "100%", "a/b", "all", "default"];
  expect([...named, ...unnamed].filter(isNewLinkName)).toEqual(named);
});
