import { differenceFinding } from "../differences.ts";
import type { Finding } from "../finding.ts";
import type { Look } from "../look.ts";
import type { PodView } from "../pod-view.ts";

/** A layer of one pod: what it finds, from what is there. */
export type Layer = (view: PodView, look: Look) => readonly Finding[];

/** What makes an attachment whole again; repair goes by the runtime's result, where that is kept. */
export const mendOf = ({ title, attached }: Pick<PodView, "title" | "attached">): string =>
  attached.cached
    ? `podwire repair ${title}`
    : `start ${title} anew: no result says how it was made, for repair to go by`;

/** What runs a command in a pod's namespace. */
export const inPod = ({ attached }: PodView): string => `nsenter --net=${attached.netns}`;

/** CHECK's differences of a layer. */
export const differencesOf = (view: PodView, layer: string): Finding[] =>
  view.differences
    .map(({ kind, text }) => differenceFinding(kind, text, mendOf(view)))
    .filter((finding) => finding.layer === layer);
