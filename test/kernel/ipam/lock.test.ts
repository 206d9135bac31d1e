import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { findLease } from "../../../src/ipam/leases.ts";
import { withFolderLock } from "../../../src/ipam/lock.ts";
import { addresses, LeaseNode, owner } from "./node.ts";

/** A process that takes flock(2) on the folder's lock, says so, and keeps it until its standard input ends. */
async function holdLock(node: LeaseNode, until = "read -r line") {
  mkdirSync(node.path(""), { recursive: true });
  writeFileSync(node.path("lock"), "");
  const child = spawn("flock", [node.path("lock"), "sh", "-c", `echo held; ${until}`], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return child;
}

test("whoever waits too long hears who has the lock", async () => {
  const node = new LeaseNode();
  const child = await holdLock(node);
  const wait = () => withFolderLock(node.folder, () => "got it", 30);
  expect(wait).toThrow(
    expect.objectContaining({
      code: 11,
      message: `cannot lock ${node.path("lock")} within 0.03 s: process ${child.pid} (flock) holds it; try again, or end that process`,
    }),
  );
  child.stdin.end();
  await once(child, "exit");
  expect(wait()).toBe("got it");
});

test("a lock that comes free while we wait is got, and the lease goes on", async () => {
  const node = new LeaseNode();
  const child = await holdLock(node, "sleep 0.3"); // this thread cannot tell it to end: it waits for the lock
  expect(addresses(node.addPod(node.config(), "c1"))).toEqual(["10.9.0.2"]);
  if (child.exitCode === null) await once(child, "exit");
});

test("looking up a lease that is recorded waits for nobody", async () => {
  const node = new LeaseNode();
  node.addPod(node.config(), "c1");
  const child = await holdLock(node);
  expect(findLease(node.folder, owner("c1"))).toHaveLength(1);
  child.stdin.end();
  await once(child, "exit");
});

test("the lock is given back when the work fails", () => {
  const node = new LeaseNode();
  const fail = () =>
    withFolderLock(node.folder, () => {
      throw new Error("work failed");
    });
  expect(fail).toThrow("work failed");
  expect(withFolderLock(node.folder, () => "got it", 0)).toBe("got it");
});
