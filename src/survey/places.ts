import { DEFAULT_DATA_DIR } from "../ipam/config.ts";

/** Where runtimes look for networks: containerd and CRI-O, k3s. */
export const CONF_DIRS: readonly string[] = ["/etc/cni/net.d", "/var/lib/rancher/k3s/agent/etc/cni/net.d"];

/** Where leases are by default, and where kind has them. */
export const DATA_DIRS: readonly string[] = [DEFAULT_DATA_DIR, "/run/cni-ipam-state"];

/** The folder of plugins where nobody says another one. */
export const DEFAULT_BIN_DIR = "/opt/cni/bin";

/** Where runtimes find plugins: upstream's folder, Debian's, Red Hat's, k3s's. */
export const BIN_DIRS: readonly string[] = [
  DEFAULT_BIN_DIR,
  "/usr/lib/cni",
  "/usr/libexec/cni",
  "/var/lib/rancher/k3s/data/cni",
];

/** Where libcni keeps what it added (containerd, CRI-O, cnitool), unless it is told otherwise. */
export const RESULTS_FOLDER = "/var/lib/cni/results";

/** Where to look; what is absent is every place that is known. */
export interface SurveyPlaces {
  dataDir?: string | undefined;
  confDir?: string | undefined;
  resultsFolder?: string | undefined;
  /** only this network */
  network?: string | undefined;
}
