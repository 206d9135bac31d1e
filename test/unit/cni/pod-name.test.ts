import { describe, expect, test } from "vitest";
import { podNameOf } from "../../../src/cni/pod-name.ts";

describe("podNameOf", () => {
  test("reads what containerd and CRI-O say, in any order", () => {
    expect(podNameOf("IgnoreUnknown=1;K8S_POD_UID=5-a;K8S_POD_NAME=web-6d5f;K8S_POD_NAMESPACE=default")).toEqual({
      namespace: "default",
      name: "web-6d5f",
      uid: "5-a",
    });
    expect(podNameOf("K8S_POD_NAME=web;K8S_POD_NAMESPACE=kube-system")).toEqual({
      namespace: "kube-system",
      name: "web",
    });
  });

  test.each([
    "",
    "MAC=aa:bb:cc:dd:ee:ff",
    "K8S_POD_NAME=web",
    "K8S_POD_NAME=;K8S_POD_NAMESPACE=default",
    "K8S_POD_NAME=../x;K8S_POD_NAMESPACE=default",
    "K8S_POD_NAME=a\u001b[2J;K8S_POD_NAMESPACE=default",
    `K8S_POD_NAME=${"a".repeat(254)};K8S_POD_NAMESPACE=default`,
  ])("%j names none that may be kept", (args) => {
    expect(podNameOf(args)).toBeUndefined();
  });

  test("keeps a pod whose uid is none", () => {
    expect(podNameOf("K8S_POD_NAME=web;K8S_POD_NAMESPACE=default;K8S_POD_UID=a b")).toEqual({
      namespace: "default",
      name: "web",
    });
  });
});
