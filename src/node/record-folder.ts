/** Where one network's leases are, `<dataDir>/<network>`, and, beside that, what podwire knows of its attachments. */
export interface RecordFolder {
  dataDir: string;
  network: string;
}

/** Whose a record is; its network is the folder's. */
export interface RecordOwner {
  containerId: string;
  ifname: string;
}

/** No network is named with a dot in front, so the reference never looks there. */
export const recordsPath = (dataDir: string): string => `${dataDir}/.podwire`;
/** What is kept of a network beside its leases. */
export const asidePath = ({ dataDir, network }: RecordFolder): string => `${recordsPath(dataDir)}/${network}`;
