import { namesIn } from "../kernel/file.ts";

/** The folder a file is in. */
export const folderOf = (file: string): string =>
  file.includes("/") ? file.slice(0, file.lastIndexOf("/")) || "/" : ".";

/** The files of further plugins of a network, which libcni looks for beside a list: `NAME/*.conf`. */
export const pluginFiles = (file: string, name: string): string[] => {
  const folder = `${folderOf(file)}/${name}`;
  return namesIn(folder)
    .filter((each) => each.endsWith(".conf"))
    .toSorted()
    .map((each) => `${folder}/${each}`);
};
