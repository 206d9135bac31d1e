import { DEFAULT_DATA_DIR } from "../ipam/config.ts";

/** What every command about leases takes. */
export const leaseOptions = {
  "--data-dir": { value: "DIR", about: `ipam.dataDir of the networks (${DEFAULT_DATA_DIR})` },
  "--network": { value: "NAME", about: "only this network" },
} as const;
