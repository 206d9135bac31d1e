import { namesIn, readRegular } from "../kernel/file.ts";
import { SystemError } from "../kernel/linux.ts";
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
    const found = decodeCached(readText(file), file, (config) => {
      if (!lists.has(config)) lists.set(config, decodeConfiguration(config));
      return lists.get(config);
    });
    if (typeof found === "string") problems.push(`${file}: ${found}`);
    else cached.push(found);
  }
  return { cached, problems };
}

function readText(file: string): string {
  try {
    return readRegular(file);
  } catch (error) {
    // one whose pod went meanwhile; what else cannot be read says nothing either
    if (error instanceof SystemError) return "";
    throw error;
  }
}
