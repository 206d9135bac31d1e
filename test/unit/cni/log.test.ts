import { describe, expect, it } from "vitest";
import { lineLog, type LogLevel, quietLog } from "../../../src/cni/log.ts";

const subject = { verb: "ADD", plugin: "bridge", network: "n", container: "c1", interface: "eth0" };
const now = () => performance.now();
const record = (level: LogLevel, use: (log: ReturnType<typeof lineLog>) => void) => {
  const lines: string[] = [];
  use(lineLog(subject, level, { write: (line) => lines.push(line), now }));
  return lines.map((line) => {
    expect(line).toMatch(/^[^\n]*\n$/);
    return JSON.parse(line) as Record<string, unknown>;
  });
};

describe("lineLog", () => {
  it("leaves one line per operation, with its steps and how long they took", () => {
    const [line, ...more] = record("info", (log) => {
      expect(log.step("lease", () => 42)).toBe(42);
      log.note("address", "10.0.0.2");
      log.finish("ok");
    });
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      ...subject,
      level: "info",
      outcome: "ok",
      facts: { address: "10.0.0.2" },
      steps: [{ name: "lease" }],
    });
    expect(line!.time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(line!.ms).toBeTypeOf("number");
    expect((line!.steps as { ms: unknown }[])[0]!.ms).toBeTypeOf("number");
  });

  it("says which step failed, and lets its error through", () => {
    const [line] = record("info", (log) => {
      expect(() =>
        log.step("veth", () => {
          throw new Error("no");
        }),
      ).toThrow("no");
      log.finish({ code: 999, msg: "no" });
    });
    expect(line).toMatchObject({
      level: "error",
      outcome: "failed",
      code: 999,
      msg: "no",
      steps: [{ name: "veth", failed: true }],
    });
  });

  it("writes warnings as lines of their own", () => {
    const lines = record("warn", (log) => {
      log.warn("the bridge has another MTU");
      log.finish("ok");
    });
    expect(lines).toMatchObject([{ level: "warn", message: "the bridge has another MTU", network: "n" }]);
  });

  it.each([
    ["error", []],
    ["warn", ["warn"]],
    ["info", ["warn", "info"]],
    ["debug", ["debug", "warn", "info"]],
  ] as const)("at level %s writes %j", (level, expected) => {
    const lines = record(level, (log) => {
      log.step("one", () => undefined);
      log.warn("careful");
      log.finish("ok");
    });
    expect(lines.map((line) => line.level)).toEqual(expected);
  });

  it("leaves out what has no value", () => {
    const lines: string[] = [];
    lineLog({ ...subject, container: "", interface: "" }, "info", { write: (line) => lines.push(line), now }).finish(
      "ok",
    );
    expect(JSON.parse(lines[0]!)).not.toHaveProperty("container");
  });
});

it("without a log, warnings still reach a person", () => {
  const said: string[] = [];
  const log = quietLog((message) => said.push(message));
  expect(log.step("x", () => 1)).toBe(1);
  log.note("a", 1);
  log.warn("careful");
  log.finish("ok");
  expect(said).toEqual(["careful"]);
});
