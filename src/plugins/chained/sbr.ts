import { CniError, Code } from "../../cni/error.ts";
import { readConfig } from "../../cni/reading.ts";
import type { ResultIp } from "../../cni/result.ts";
import { type Infer, integer, optional, shape } from "../../cni/schema.ts";
import type { SourceRoutesPart } from "../../attachment/attachment.ts";
import type { ChainedPlugin } from "../../verbs/plan.ts";

const sbrConfig = shape({ table: optional(integer(1, 0xffff_ffff)) });

type SbrConfig = Infer<typeof sbrConfig>;

const planRules = ({ table }: SbrConfig, ips: readonly ResultIp[]): SourceRoutesPart => ({
  kind: "sourceRoutes",
  ...(table !== undefined && { table }),
  addresses: ips.map(({ address, gateway }) => ({ address, ...(gateway && { gateway }) })),
});

/** Source based routing: with several interfaces, what comes in by one is answered by it. */
export const sbr: ChainedPlugin<SbrConfig> = {
  name: "sbr",
  kinds: ["sourceRoutes"],
  optional: [],
  schema: sbrConfig,
  read(call) {
    const { verb, prevResult, ifname } = call;
    if (verb === "ADD" && prevResult?.ips.length === 0) {
      throw new CniError(Code.InvalidConfig, `prevResult.ips: none is of interface ${ifname}, which sbr is for`);
    }
    return readConfig(sbrConfig, call);
  },
  asked: (config) => [planRules(config, [])],
  // of an interface without addresses the reference deletes all routes
  parts: (config, ips) => (ips.length > 0 ? [planRules(config, ips)] : []),
};
