import { findStat, findText } from "./file.ts";

/**
 * True where the kernel has a module of that name loaded, built in, or lying there to be loaded when somebody asks for
 * it; false where nothing says so, though one that is built in may be there all the same.
 */
export function isModuleKnown(name: string): boolean {
  if (findStat(`/sys/module/${name}`)) return true;
  const release = findText("/proc/sys/kernel/osrelease")?.trim() ?? "";
  return ["modules.builtin", "modules.dep"].some((file) =>
    findText(`/lib/modules/${release}/${file}`)?.includes(`/${name}.ko`),
  );
}
