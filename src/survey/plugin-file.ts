import { findStat } from "../kernel/file.ts";
import { isExecutable, S_IFREG, SystemError } from "../kernel/linux.ts";

/** The executable of a plugin in the first of the folders that has it. */
export const findPluginFile = (folders: readonly string[], type: string): string | undefined =>
  folders.map((folder) => `${folder}/${type}`).find(isPlugin);

function isPlugin(file: string): boolean {
  try {
    return findStat(file)?.type === S_IFREG && isExecutable(file);
  } catch (error) {
    if (error instanceof SystemError) return false; // a folder that may not be searched is one without the plugin
    throw error;
  }
}
