import type { DeviceChoice, MovedLinkPart } from "../../attachment/attachment.ts";
import { decoded, flag, type Infer, optional, optionalOrEmpty, orElse, shape, text } from "../../cni/schema.ts";
import { CniError, Code } from "../../cni/error.ts";
import { dns } from "../../cni/fields.ts";
import type { Invocation } from "../../cni/invocation.ts";
import { readConfig } from "../../cni/reading.ts";
import { parseMac } from "../../net/mac.ts";
import { isLinkName } from "../../net/link-name.ts";
import type { InterfacePlugin, Subject } from "../../verbs/plan.ts";
import { planAround } from "./pod-link-plan.ts";

const DEVICES = "/sys/devices/";
const busId = text("a device's name on its bus, such as 0000:00:1f.6", (id) => /^[\w.:-]*\w$/.test(id));
const hardwareAddress = decoded<string>(
  (value) => (typeof value === "string" ? parseMac(value) : undefined),
  "a MAC address",
);

const hostDeviceConfig = shape({
  device: optionalOrEmpty(text("a link name (1 to 15 bytes, no / : or white space)", isLinkName)),
  hwaddr: optionalOrEmpty(hardwareAddress),
  kernelpath: optionalOrEmpty(
    text(`a path that begins with ${DEVICES}`, (path) => path.startsWith(DEVICES) && !/\0|\/\.\.(\/|$)/.test(path)),
  ),
  pciBusID: optionalOrEmpty(busId),
  dpdkMode: flag(),
  enabledad: flag(),
  ipam: optional(shape({ type: orElse(text(), "") })),
  dns: optional(dns),
  runtimeConfig: optional(shape({ deviceID: optionalOrEmpty(busId) })),
});

type HostDeviceConfig = Infer<typeof hostDeviceConfig>;

/** The keys that say which device is meant. */
interface Choices {
  device?: string;
  hwaddr?: string;
  kernelpath?: string;
  pciBusID?: string;
  runtimeConfig?: { deviceID?: string };
}

function busOf({ pciBusID, runtimeConfig }: Choices): DeviceChoice | undefined {
  const id = runtimeConfig?.deviceID;
  if (id !== undefined) return { by: "runtimeConfig.deviceID", id };
  return pciBusID === undefined ? undefined : { by: "pciBusID", id: pciBusID };
}

/** The first of the keys that is there, in the reference's order. */
function choiceOf(config: Choices): DeviceChoice | undefined {
  for (const by of ["device", "hwaddr", "kernelpath"] as const) {
    const id = config[by];
    if (id !== undefined) return { by, id };
  }
  return busOf(config);
}

function read(call: Invocation): HostDeviceConfig {
  const config = readConfig(hostDeviceConfig, call);
  if (choiceOf(config) || call.verb === "DEL" || call.verb === "GC") return config;
  throw new CniError(
    Code.InvalidConfig,
    'invalid configuration: device is missing: it must be there, or "hwaddr", "kernelpath", "pciBusID" or ' +
      "runtimeConfig.deviceID",
  );
}

/** Where a DEL cannot read which device it was, its alias says so. */
const NONE: DeviceChoice = { by: "hwaddr", id: "" };

function planMoved(config: HostDeviceConfig, { owner, podMac }: Pick<Subject, "owner" | "podMac">): MovedLinkPart {
  const bus = busOf(config);
  return {
    kind: "movedLink",
    link: { name: owner.ifname, ...(podMac && { mac: podMac }) },
    choice: choiceOf(config) ?? NONE,
    ...(bus && { bus }),
    dpdk: config.dpdkMode,
  };
}

const nobody = { owner: { network: "", containerId: "", ifname: "" }, podMac: "" };

export const hostDevice: InterfacePlugin<HostDeviceConfig> = {
  name: "host-device",
  kinds: ["movedLink", "pod"],
  optional: [],
  schema: hostDeviceConfig,
  needsIpam: false,
  read,
  mac: () => "",
  asked: (config) => [planMoved(config, nobody)],
  plan: (config, subject, lease) =>
    planAround(planMoved(config, subject), { mtu: 0, enabledad: config.enabledad }, subject, lease),
  // a device that a program drives has no link, and no MAC that anybody knows
  interfaces: ({ attachment: { owner, netns } }, { pod }) => [
    { name: owner.ifname, ...(pod && { mac: pod.mac }), sandbox: netns },
  ],
};
