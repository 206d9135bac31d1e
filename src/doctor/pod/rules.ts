import { formatIp } from "../../net/ip.ts";
import { orFine } from "../finding.ts";
import { partOf } from "../pod-view.ts";
import { differencesOf, type Layer } from "./layer.ts";

/** Its masquerading, as its part says. */
export const masquerade: Layer = (view) => {
  const wanted = partOf(view, "masquerade");
  if (!wanted) return [];
  const at = wanted.addresses.map(({ ip }) => formatIp(ip)).join(", ");
  return orFine(differencesOf(view, "masquerade"), "masquerade", `${at}: ${wanted.backend}`);
};

/** Its check of MACs, as its part says. */
export const spoofCheck: Layer = (view) =>
  partOf(view, "spoofCheck")
    ? orFine(differencesOf(view, "spoofcheck"), "spoofcheck", "frames with its own MAC only")
    : [];

/** What the plugin of that name lets pass for it; what all rules do with its packets is another question. */
export const filter: Layer = (view) => (partOf(view, "filter") ? differencesOf(view, "firewall") : []);

/** Its host ports, as their part says. */
export const ports: Layer = (view) => {
  const wanted = partOf(view, "ports");
  if (!wanted || wanted.mappings.length === 0) return [];
  const shown = wanted.mappings.map(
    ({ hostPort, protocol, containerPort }) => `${hostPort}/${protocol} to ${containerPort}`,
  );
  return orFine(differencesOf(view, "ports"), "ports", shown.join(", "));
};
