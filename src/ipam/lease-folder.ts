import { formatIp, type Ip } from "../net/ip.ts";
import type { RecordFolder, RecordOwner } from "../node/record-folder.ts";

/** `<dataDir>/<network>`, which the reference host-local may use at the same time. */
export type LeaseFolder = RecordFolder;
export type LeaseOwner = RecordOwner;

/** Who has a lease; `ifname` is absent in files of old versions, which hold the container id alone. */
export interface Holder {
  containerId: string;
  ifname?: string;
}

export const folderPath = ({ dataDir, network }: LeaseFolder): string => `${dataDir}/${network}`;
export const leasePath = (folder: LeaseFolder, ip: Ip): string => `${folderPath(folder)}/${formatIp(ip)}`;
export const cursorPath = (folder: LeaseFolder, set: number): string => `${folderPath(folder)}/last_reserved_ip.${set}`;

/** The content of a lease file: id, CR LF, interface name, and no newline at the end. */
export const encodeLease = ({ containerId, ifname }: LeaseOwner): string => `${containerId}\r\n${ifname}`;

// Neither zeros (blocks that were never written before a crash) nor bytes that are no text make an interface name
const leaseText = /^([a-zA-Z0-9][\w.-]*)(?:\r\n([^\s/:\0\ufffd]{1,15}))?$/;

/** Who a lease file's content names, or undefined when it was never written by host-local or was cut short. */
export function decodeLease(content: string): Holder | undefined {
  const [, containerId, ifname] = leaseText.exec(content.trim()) ?? [];
  return containerId === undefined ? undefined : ifname === undefined ? { containerId } : { containerId, ifname };
}
