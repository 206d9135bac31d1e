import { describe, expect, test } from "vitest";
import { type Evidence, judge } from "../../../src/survey/judgement.ts";

const judged = (more: Partial<Evidence>) => judge({ linkKnown: true, recorded: true, onlyRules: false, ...more });

describe("whether a pod is gone", () => {
  test.each<[Partial<Evidence>, string, RegExp]>([
    [{ link: "veth1", netns: "missing", restarted: true, olderThanBoot: true }, "live", /its link veth1 is there/],
    [{ netns: "missing" }, "gone", /namespace and link are gone/],
    [{ netns: "other", addressInUse: "10.1.0.2" }, "gone", /another namespace is at its path/],
    [{ restarted: true }, "gone", /restarted/],
    [{ netns: "missing", recorded: false }, "gone", /namespace and link are gone/],
    [{ netns: "missing", recorded: false, addressInUse: "10.1.0.2" }, "live", /carries|has 10\.1\.0\.2/],
    [{ netns: "missing", linkKnown: false, recorded: false }, "unknown", /its link is not known/],
    [{ linkKnown: false, recorded: false, olderThanBoot: true }, "gone", /older than the boot/],
    [{ linkKnown: false, recorded: false, olderThanBoot: true, addressInUse: "fd00::2" }, "live", /fd00::2/],
    [{ linkKnown: false, recorded: false, olderThanBoot: false }, "unknown", /younger than the boot/],
    [{ recorded: false, onlyRules: true }, "gone", /nothing is left of it but rules/],
    [{ recorded: false, onlyRules: true, addressInUse: "10.1.0.2" }, "live", /10\.1\.0\.2/],
    [{ recorded: false, onlyRules: true, linkKnown: false }, "unknown", /its link is not known/],
    [{ netns: "own" }, "unknown", /its namespace is there, its link is gone/],
    [{ netns: "own", inPodAlone: true }, "live", /its namespace is there/],
    [{ netns: "other", inPodAlone: true }, "gone", /another namespace/],
  ])("%j: %s", (evidence, state, proof) => {
    expect(judged(evidence)).toEqual({ state, proof: expect.stringMatching(proof) as unknown });
  });
});
