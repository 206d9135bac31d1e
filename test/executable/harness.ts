export { Node, type Outside } from "../harness/node.ts";
export { Namespace, type IpAddress, type IpLink, type IpRoute, type Outcome } from "../harness/namespace.ts";
export { loadConf, runList, type Attachment, type NetworkList } from "../harness/chain.ts";
export type { Answer, Call, CniErrorText, CniResult, Verb } from "../harness/invoke.ts";
export { confFolder, executable, reference, temporaryFolder } from "../harness/paths.ts";
export { pluginNames, podwireFolder } from "../harness/podwire-folder.ts";
export { hostState, withoutCarrier, type HostState } from "../harness/state.ts";
