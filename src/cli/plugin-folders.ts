import { findVariable } from "../kernel/process.ts";
import { DEFAULT_BIN_DIR } from "../survey/places.ts";
import type { Given } from "./arguments.ts";

/** Where a command looks for plugins. */
export const binDirOption = {
  "--bin-dir": {
    value: "DIR",
    repeated: true,
    about: `where plugins are (the folders of CNI_PATH, else ${DEFAULT_BIN_DIR})`,
  },
} as const;

/** The folders a runtime would look for plugins in. */
export function pluginFolders(given: Given<"--bin-dir">): readonly string[] {
  const typed = given.all("--bin-dir");
  const folders = typed.length > 0 ? typed : (findVariable("CNI_PATH") ?? "").split(":");
  const named = folders.filter((folder) => folder !== "");
  return named.length > 0 ? named : [DEFAULT_BIN_DIR];
}
