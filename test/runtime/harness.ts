import { afterAll } from "vitest";
import { stopMachines } from "./machine.ts";

export * from "../executable/harness.ts";
export { Machine, type Service } from "./machine.ts";
export { Containerd } from "./containerd.ts";
export { available } from "../harness/requirements.ts";

// registered after the hook that removes nodes, so it runs before it
afterAll(async () => {
  await stopMachines();
});
