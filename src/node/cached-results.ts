import { findText, namesIn } from "../kernel/file.ts";
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
    // one may go meanwhile with its pod; what else cannot be read says nothing either
    const found = decodeCached(findText(file) ?? "", file, (config) => {
      if (!lists.has(config)) lists.set(config, decodeConfiguration(config));
      return lists.get(config);
    });
    if (typeof found === "string") problems.push(`${file}: ${found}`);
    else cached.push(found);
  }
  return { cached, problems };
}
