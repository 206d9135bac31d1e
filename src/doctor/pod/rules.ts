import { formatIp } from "../../net/ip.ts";
import { isFaulty, orFine, skip } from "../finding.ts";
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
export const filter: Layer = (view) => {
  const wanted = partOf(view, "filter");
  if (!wanted) return [];
  const policy = wanted.policy === "open" ? "" : `; ${wanted.bridge}: ${wanted.policy}`;
  return orFine(
    differencesOf(view, "filter"),
    "filter",
    `${wanted.addresses.map(formatIp).join(", ")} let pass${policy}`,
  );
};

/** Its host ports, as their part says. */
export const ports: Layer = (view) => {
  const wanted = partOf(view, "ports");
  if (!wanted || wanted.mappings.length === 0) return [];
  const shown = wanted.mappings.map(
    ({ hostPort, protocol, containerPort }) => `${hostPort}/${protocol} to ${containerPort}`,
  );
  const found = differencesOf(view, "ports");
  // by which link it is reached from 127.0.0.1 is a question of routes: where they are wrong, the answer is another's
  const isLost = isFaulty(differencesOf(view, "route"));
  const own = found.filter(({ what }) => !(isLost && what.includes("/route_localnet ")));
  if (own.length < found.length && own.length === 0) {
    return [skip("ports", "127.0.0.1 cannot reach it without that route; the mappings are in place")];
  }
  return orFine(own, "ports", shown.join(", "));
};
