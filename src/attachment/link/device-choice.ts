import { CniError, Code } from "../../cni/error.ts";
import { findLstat, namesIn, readLink } from "../../kernel/file.ts";
import type { NetlinkSocket } from "../../kernel/netlink.ts";
import type { Link } from "../../netlink/rtnetlink/link.ts";
import type { DeviceChoice, MovedLinkPart } from "../attachment.ts";
import { findLink, listLinks } from "./links.ts";

/** Drivers that hand a device to a program of user space (DPDK). */
const userSpaceDrivers = ["vfio-pci", "uio_pci_generic", "igb_uio"];
const PCI = "/sys/bus/pci/devices";
const AUXILIARY = "/sys/bus/auxiliary/devices";

/** True for a device that a program drives: then no link is touched. CniError 7 where the bus does not have it. */
export function isProgramDriven({ bus, dpdk }: Pick<MovedLinkPart, "bus" | "dpdk">): boolean {
  if (!bus) return dpdk;
  const folder = folderOf(bus);
  if (folder.startsWith(AUXILIARY)) return false;
  if (!findLstat(`${folder}/driver`)) throw wrong(bus, "has no driver");
  return userSpaceDrivers.includes(baseName(readLink(`${folder}/driver`)));
}

/** The link of the host that is meant; CniError 7 where there is none. */
export function getDevice(choice: DeviceChoice, host: NetlinkSocket): Link {
  const link = findDevice(choice, host);
  if (link) return link;
  throw wrong(choice, "is no link of the host (is it in a container already?)");
}

function findDevice(choice: DeviceChoice, host: NetlinkSocket): Link | undefined {
  const { by, id } = choice;
  switch (by) {
    case "device":
      return findLink(host, id);
    case "hwaddr":
      return listLinks(host).find(({ mac }) => mac === id);
    case "kernelpath":
      return firstLink(`${id}/net`, host);
    default: {
      const folder = folderOf(choice);
      const under = ["", ...namesIn(folder).filter((name) => name.startsWith("virtio"))].toSorted();
      return under.map((name) => firstLink(`${folder}/${name}/net`, host)).find((link) => link !== undefined);
    }
  }
}

/** The first of the links a folder of /sys names that there is: /sys may show those of another namespace. */
const firstLink = (folder: string, host: NetlinkSocket): Link | undefined =>
  namesIn(folder)
    .toSorted()
    .map((name) => findLink(host, name))
    .find((link) => link !== undefined);

/** The folder of a device of the PCI bus; `deviceID` may be of the auxiliary bus as well. */
function folderOf(bus: DeviceChoice): string {
  const folders = bus.by === "runtimeConfig.deviceID" ? [PCI, AUXILIARY] : [PCI];
  const folder = folders.map((each) => `${each}/${bus.id}`).find((each) => findLstat(each));
  if (folder) return folder;
  throw wrong(bus, `is not there: no such device in ${folders.join(" or ")}`);
}

const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

const wrong = ({ by, id }: DeviceChoice, what: string): CniError =>
  new CniError(Code.InvalidConfig, `${by}: ${JSON.stringify(id)} ${what}`);
