import { createHash } from "node:crypto";
import { statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as pure from "../../src/net/primitives.ts";
import { executableOf, machines, run } from "./engine.ts";

// The engine's loops over bytes, held to those of src/net/primitives.ts, which a test of net/bytes holds to Node's.

const bytes = fc.uint8Array({ maxLength: 40 });
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.string({ unit: "grapheme", maxLength: 30 }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
);
/** A piece of the bytes, or other ones. */
const parts = fc
  .tuple(bytes, fc.nat(40), fc.nat(4))
  .chain(([all, at, length]) =>
    fc.tuple(
      fc.constant(all),
      fc.oneof(fc.constant(all.subarray(at, at + length)), fc.uint8Array({ maxLength: 3 })),
      fc.nat(44),
    ),
  );

/** Lists of netlink attributes, some of them cut short or with lengths that are wrong. */
const attributes = fc
  .array(fc.tuple(fc.nat(9), fc.constantFrom(1, 2, 3, 0x80, 0), fc.uint8Array({ maxLength: 9 })), { maxLength: 6 })
  .map((list) =>
    list.flatMap(([odd, type, data]) => {
      const length = odd === 0 ? data.length : data.length + 4;
      return [length, 0, type & 3, type & 0x80, ...data, ...Array<number>(-length & 3).fill(0)];
    }),
  );

describe.each(machines)("on $name", (machine) => {
  test("primitives of the engine do what those in TypeScript do", () => {
    const inputs = {
      texts: fc.sample(text, 3_000),
      bytes: fc.sample(bytes, 3_000),
      parts: fc.sample(parts, 3_000),
      lists: fc
        .sample(fc.tuple(attributes, attributes, fc.nat(3)), 5_000)
        .map(([all, other, type]) => [all, type === 0 ? other : all.slice(0, all.length >> 1), type] as const),
    };
    // a JSON text cannot hold what a text may: units of UTF-16 can
    const units = (one: string): number[] => Array.from({ length: one.length }, (_, at) => one.charCodeAt(at));
    const file = join(tmpdir(), `podwire-primitives-${process.pid}.json`);
    writeFileSync(
      file,
      JSON.stringify({
        texts: inputs.texts.map(units),
        bytes: inputs.bytes.map((one) => [...one]),
        parts: inputs.parts.map(([all, part, from]) => [[...all], [...part], from]),
        lists: inputs.lists,
      }),
    );
    const executable = executableOf(
      `
      const fd = host.open(args[1], 0, 0);
      const buffer = new Uint8Array(8 << 20);
      let length = 0;
      for (let count; (count = host.read(fd, buffer.subarray(length))) > 0;) length += count;
      const input = JSON.parse(primitives.decodeUtf8(buffer.subarray(0, length)));
      const units = (one) => Array.from({ length: one.length }, (_, at) => one.charCodeAt(at));
      const from = (list) => Uint8Array.from(list);
      say({
        encoded: input.texts.map((one) => [...primitives.encodeUtf8(String.fromCharCode(...one))]),
        decoded: input.bytes.map((one) => units(primitives.decodeUtf8(from(one)))),
        hex: input.bytes.map((one) => primitives.encodeHex(from(one))),
        hashes: input.texts.map((one) => host.sha512(String.fromCharCode(...one))),
        found: input.parts.map(([all, part, at]) => primitives.indexOfBytes(from(all), from(part), at)),
        strings: input.parts.map(([all, , at]) => units(primitives.decodeCString(from(all), Math.min(at, all.length), all.length))),
        attributes: input.lists.map(([all, , type]) => primitives.findAttribute(from(all), type)),
        included: input.lists.map(([all, other]) => primitives.includesAttributes(from(all), from(other))),
        order: input.parts.map(([all, part]) => Math.sign(primitives.compareBytes(from(all), from(part)))),
      })`,
      { machine },
    );
    const [said] = run(executable, [file]) as [Record<string, unknown[]>];
    expect(said).toEqual({
      encoded: inputs.texts.map((one) => [...pure.encodeUtf8(one)]),
      decoded: inputs.bytes.map((one) => units(pure.decodeUtf8(one))),
      hex: inputs.bytes.map((one) => pure.encodeHex(one)),
      hashes: inputs.texts.map((one) => createHash("sha512").update(Buffer.from(one)).digest("hex")),
      found: inputs.parts.map(([all, part, at]) => pure.indexOfBytes(all, part, at)),
      strings: inputs.parts.map(([all, , at]) => units(pure.decodeCString(all, Math.min(at, all.length), all.length))),
      attributes: inputs.lists.map(([all, , type]) => pure.findAttribute(Uint8Array.from(all), type)),
      included: inputs.lists.map(([all, other]) =>
        pure.includesAttributes(Uint8Array.from(all), Uint8Array.from(other)),
      ),
      order: inputs.parts.map(([all, part]) => Math.sign(pure.compareBytes(all, part))),
    });
    expect(said["included"]!.filter(Boolean).length).toBeGreaterThan(100);
    expect(said["found"]!.filter((at) => at !== -1).length).toBeGreaterThan(100);
  });

  test("an argument that is missing or of a wrong type is a TypeError, never a call", () => {
    const executable = executableOf(
      `
      const wrong = ["host.write(1)", "host.write('1', 'x')", "host.open()", "host.open(1, 0, 0)", "host.read(0, [])",
        "host.read(0, new Uint16Array(2))", "host.close(undefined)", "host.close(null)", "host.close({})", "primitives.encodeUtf8(1)",
        "primitives.indexOfBytes(new Uint8Array(1), 'x')", "host.run('/bin/true', 'x', [], new Uint8Array(0), 1)", "host.sha512()"];
      const calls = [() => host.write(1), () => host.open(), () => host.read(0, []), () => host.read(0, new Uint16Array(2)),
        () => host.close(undefined), () => host.close(null), () => host.close({}), () => primitives.encodeUtf8(1),
        () => primitives.indexOfBytes(new Uint8Array(1), "x"), () => host.run("/bin/true", "x", [], new Uint8Array(0), 1),
        () => host.run("/bin/true", ["a\\0b"], [], new Uint8Array(0), 1), () => host.sha512(), () => host.ioctl(0, 0x541b)];
      say(calls.map((call) => { try { return call(); } catch (error) { return error.name; } }));`,
      { machine },
    );
    expect(run(executable)[0]).toEqual(Array(13).fill("TypeError"));
  });

  test("ioctl takes a number, or bytes that the kernel reads or fills", () => {
    const executable = executableOf(
      `
      const fd = host.open("/proc/self/exe", 0, 0);
      const into = new Uint8Array(4);
      const FIONREAD = 0x541b; // asm-generic/ioctls.h: what is left to read
      say([host.ioctl(fd, FIONREAD, into), new DataView(into.buffer).getUint32(0, true), host.ioctl(fd, FIONREAD, 0)]);`,
    );
    expect(run(executable)[0]).toEqual([0, statSync(executable).size, -14]);
  });

  test("a text with a NUL is refused with EINVAL, as a path of another length would be meant", () => {
    expect(
      run(
        executableOf(
          `say([host.open("/etc\\0x", 0, 0), host.unlink("a\\0"), host.open("/etc", 0, 0) > 2, host.link("a\\0", "b\\0"),
      host.run("/bin/true\\0", ["true"], [], new Uint8Array(0), 1000)])`,
          { machine },
        ),
      )[0],
    ).toEqual([-22, -22, true, -22, -22]);
  });
});
