import { namesIn, readText } from "../kernel/file.ts";
import { isErrno, SystemError } from "../kernel/system-error.ts";
import {
  type CachedAttachment,
  type Configuration,
  decodeCached,
  decodeConfiguration,
} from "../protocol/cached-result.ts";

/** The attachments a runtime remembers, and the files there that say nothing of one, in words. */
export function listCached(folder: string): { cached: CachedAttachment[]; problems: string[] } {
  const cached: CachedAttachment[] = [];
  const problems: string[] = [];
  const lists = new Map<string, Configuration | undefined>(); // most pods have the same one
  for (const name of namesIn(folder)) {
    const file = `${folder}/${name}`;
    const json = textOf(file);
    if (json === undefined) continue;
    const found =
      typeof json === "string"
        ? decodeCached(json, file, (config) => {
            if (!lists.has(config)) lists.set(config, decodeConfiguration(config));
            return lists.get(config);
          })
        : json.problem;
    if (typeof found === "string") problems.push(`${file}: ${found}`);
    else cached.push(found);
  }
  return { cached, problems };
}

/** What a file holds, or why that cannot be read; undefined for one that went meanwhile with its pod. */
function textOf(file: string): string | { problem: string } | undefined {
  try {
    return readText(file);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (error instanceof SystemError) return { problem: `it cannot be read: ${error.message}` };
    throw error;
  }
}
