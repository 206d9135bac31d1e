import { CONF_DIRS, DATA_DIRS } from "../survey/places.ts";

/** What every command takes that looks at the whole node. */
export const leaseOptions = {
  "--data-dir": {
    value: "DIR",
    about: `ipam.dataDir of the networks (all: ${DATA_DIRS.join(", ")} and those that configurations name)`,
  },
  "--network": { value: "NAME", about: "only this network" },
  "--conf-dir": { value: "DIR", about: `where the networks are configured (${CONF_DIRS.join(", ")})` },
} as const;
