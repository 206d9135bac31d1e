import { findLstat, namesIn } from "../kernel/file.ts";
import { S_IFDIR } from "../kernel/linux.ts";

/** The networks that have leases in a folder; podwire's own notes start with a dot, which no network's name does. */
export const leasedNetworks = (dataDir: string): string[] =>
  namesIn(dataDir)
    .filter((name) => !name.startsWith(".") && findLstat(`${dataDir}/${name}`)?.type === S_IFDIR)
    .toSorted();
