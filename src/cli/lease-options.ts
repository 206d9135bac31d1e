import type { SurveyPlaces } from "../survey/places.ts";
import type { Given } from "./arguments.ts";
import { CONF_DIRS, DATA_DIRS, RESULTS_FOLDER } from "../survey/places.ts";

/** What every command takes that looks at the whole node. */
export const leaseOptions = {
  "--data-dir": {
    value: "DIR",
    about: `ipam.dataDir of the networks (all: ${DATA_DIRS.join(", ")} and those that configurations name)`,
  },
  "--network": { value: "NAME", about: "only this network" },
  "--conf-dir": { value: "DIR", about: `where the networks are configured (${CONF_DIRS.join(", ")})` },
  "--results-dir": { value: "DIR", about: `what the runtime remembers of its pods (${RESULTS_FOLDER})` },
} as const;

/** Where such a command is to look. */
export const placesOf = (given: Pick<Given<keyof typeof leaseOptions>, "find">): SurveyPlaces => ({
  dataDir: given.find("--data-dir"),
  network: given.find("--network"),
  confDir: given.find("--conf-dir"),
  resultsFolder: given.find("--results-dir"),
});
