import { beforeEach, describe, expect, test } from "vitest";
import {
  environment,
  environmentEntries,
  environmentVariable,
  invokedAs,
  startProcess,
} from "../../../src/kernel/process.ts";

describe("what the kernel gave this process", () => {
  beforeEach(() => startProcess([], []));

  test("is its name: the last part of the path it was started by", () => {
    for (const [path, name] of [
      ["/opt/cni/bin/bridge", "bridge"],
      ["ptp", "ptp"],
      ["./a/b/", ""],
      ["", ""],
    ] as const) {
      startProcess([path, "argument"], []);
      expect(invokedAs()).toBe(name);
    }
    startProcess([], []);
    expect(invokedAs()).toBe("");
  });

  test("is its environment: of two variables with one name the first counts, and what is no entry is passed over", () => {
    startProcess(["x"], ["CNI_A=1", "CNI_B=a=b", "CNI_A=2", "CNI_EMPTY=", "CNI_nothing", "=x", "", "CNI_LINE=a\nb"]);
    expect(environment()).toEqual({ CNI_A: "1", CNI_B: "a=b", CNI_EMPTY: "", CNI_LINE: "a\nb" });
  });

  test("is looked at no further than podwire's own variables", () => {
    startProcess(
      ["x"],
      ["HOME=/", "__proto__=y", "PATH=/bin", "PODWIRE_LOG=stderr", "PODWIRE_LOGS=no", "XCNI_A=1", "TZ=Asia/Tokyo"],
    );
    expect(environment()).toEqual({ PATH: "/bin", PODWIRE_LOG: "stderr" });
    expect([environmentVariable("PATH"), environmentVariable("CNI_COMMAND")]).toEqual(["/bin", undefined]);
  });

  test("goes on to programs whole, with what is changed for them", () => {
    startProcess(["x"], ["CNI_COMMAND=ADD", "HOME=/", "CNI_COMMANDS=x", "A=b=c"]);
    expect(environmentEntries()).toEqual(["CNI_COMMAND=ADD", "HOME=/", "CNI_COMMANDS=x", "A=b=c"]);
    expect(environmentEntries({ CNI_COMMAND: "DEL" })).toEqual([
      "HOME=/",
      "CNI_COMMANDS=x",
      "A=b=c",
      "CNI_COMMAND=DEL",
    ]);
  });

  test("has nothing that was not given", () => {
    expect([environmentVariable("PATH"), environmentVariable("CNI_COMMAND"), environment()]).toEqual([
      undefined,
      undefined,
      {},
    ]);
  });
});
