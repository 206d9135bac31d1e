import { findLstat, removeFile } from "../kernel/file.ts";
import { command, Exit } from "./command.ts";
import {
  binDirOption,
  cleanFolder,
  describeFile,
  EXECUTABLE,
  flush,
  forgetKept,
  giveBack,
  inFolder,
  isOwnLink,
  keptIn,
  keptNames,
  ownLinks,
} from "./plugin-links.ts";
import { toText } from "./terminal.ts";

/** Takes podwire out of a plugin folder again, and puts back what install kept. */
export const uninstall = command({
  name: "uninstall",
  summary: "put back the plugins that install replaced, and remove podwire from the plugin folder",
  about: [
    "Every name that leads to podwire gets back what install kept for it, or is removed where there was nothing. A " +
      "name that leads to something else by now was changed by somebody: it is left, with what was kept for it.",
    "Pods that podwire wired go on. Their masquerading and port mappings are in table inet podwire of nftables, of " +
      "which the reference plugins know nothing: remove it when the last such pod is gone.",
  ],
  root: "write to the plugin folder",
  finds: "something was changed since, and left",
  options: { ...binDirOption, "--dry-run": { about: "say what would be done, and do nothing" } },
  say(given) {
    const folder = cleanFolder(given.find("--bin-dir"));
    const plan = planOf(folder);
    const isDry = given.has("--dry-run");
    const lines = describe(folder, plan, isDry);
    if (!isDry) apply(folder, plan);
    return {
      text: toText([...lines, ...(isDry ? ["nothing was changed"] : [])]),
      facts: { folder, ...plan, changed: !isDry },
      exit: plan.foreign.length > 0 ? Exit.found : Exit.fine,
    };
  },
});

interface Plan {
  /** names that get back what was kept */
  restored: string[];
  /** names that had nothing before */
  removed: string[];
  /** names that somebody else has changed since */
  foreign: string[];
}

function planOf(folder: string): Plan {
  const [links, kept] = [ownLinks(folder), keptNames(folder)];
  const isChanged = (name: string): boolean => {
    const path = inFolder(folder, name);
    return findLstat(path) !== undefined && !isOwnLink(path);
  };
  if (links.length === 0 && kept.length === 0 && !findLstat(inFolder(folder, EXECUTABLE))) {
    throw new Error(`podwire is not installed in ${folder}`);
  }
  return {
    restored: kept.filter((name) => !isChanged(name)),
    removed: links.filter((name) => !kept.includes(name)),
    foreign: kept.filter(isChanged),
  };
}

function describe(folder: string, { restored, removed, foreign }: Plan, isDry: boolean): string[] {
  const verb = (infinitive: string, past: string): string => (isDry ? `would ${infinitive}` : past);
  const [at, kept] = [(name: string) => inFolder(folder, name), (name: string) => inFolder(keptIn(folder), name)];
  return [
    ...restored.map((name) => `${verb("put back", "put back")} ${at(name)}, ${describeFile(kept(name))}`),
    ...removed.map((name) => `${verb("remove", "removed")} ${at(name)}: nothing stood there before install`),
    ...foreign.map((name) => `left ${at(name)}, ${describeFile(at(name))}: not podwire's; kept before: ${kept(name)}`),
    ...(findLstat(at(EXECUTABLE)) ? [`${verb("remove", "removed")} ${at(EXECUTABLE)}`] : []),
  ];
}

/** The executable goes last: until then every link leads to it. */
function apply(folder: string, { restored, removed }: Plan): void {
  for (const name of [...restored, ...removed]) giveBack(folder, name);
  removeFile(inFolder(folder, EXECUTABLE));
  forgetKept(folder);
  flush(folder);
}
