import { sha512 } from "../kernel/hash.ts";
import { encodeUtf8 } from "../net/bytes.ts";
import type { Owner } from "./attachment.ts";

/** Longest container id and interface name a label carries whole: a runtime's 64 hex digits, and IFNAMSIZ - 1. */
const CONTAINER_BYTES = 64;
const IFNAME_BYTES = 15;
/** "~" and eight hex digits, which stand for the end of a part that was too long. */
const HASH_BYTES = 9;

/** Interface names may hold any byte but "/", ":" and white space; what would break a quoted comment is written %XX. */
const printable = (text: string): string =>
  /^[!#$&-[\]-~]*$/.test(text) ? text : Array.from(encodeUtf8(text), escapeByte).join("");

const escapeByte = (byte: number): string => {
  const character = String.fromCharCode(byte);
  return /[!#$&-[\]-~]/.test(character) ? character : `%${byte.toString(16).padStart(2, "0")}`;
};

/** "~" occurs in no network name and no container id, so a shortened part never equals a whole one. */
const shorten = (part: string, bytes: number): string =>
  part.length <= bytes ? part : `${part.slice(0, bytes - HASH_BYTES)}~${sha512(part).slice(0, HASH_BYTES - 1)}`;

/** The first word of `ownerLabel` for every attachment of the network; `maxBytes` as given there (at least 100). */
export const networkLabel = (network: string, maxBytes: number): string =>
  shorten(network, maxBytes - CONTAINER_BYTES - IFNAME_BYTES - 2);

/**
 * `<network> <container> <ifname>` in at most `maxBytes` bytes of printable ASCII without quotes; different owners have
 * different labels.
 */
export const ownerLabel = ({ network, containerId, ifname }: Owner, maxBytes: number): string =>
  [
    networkLabel(network, maxBytes),
    shorten(containerId, CONTAINER_BYTES),
    shorten(printable(ifname), IFNAME_BYTES),
  ].join(" ");

/**
 * A label without its network, with the blank after that: container id and interface name are one attachment, whatever
 * its network is called now.
 */
export const withoutNetwork = (label: string): string => label.replace(/^[^ ]*/, "");

/**
 * The host end of the owner's veth pair: the same at every call, so a retry, DEL without a namespace, and GC find it.
 */
export const hostVethName = ({ network, containerId, ifname }: Owner): string =>
  `veth${sha512(`${network}\0${containerId}\0${ifname}`).slice(0, 11)}`;

/** IFLA_IFALIAS holds 255 bytes with the terminating zero; what `ip link` shows a person about a host veth. */
const ALIAS_BYTES = 254 - "podwire ".length;

/** The alias of the host's end of the owner's link. */
export const linkAlias = (owner: Owner): string => `podwire ${aliasKey(owner)}`;

/** The owner's words as an alias has them: two owners with one key are one. */
export const aliasKey = (owner: Owner): string => ownerLabel(owner, ALIAS_BYTES);

/** The owner a label names; undefined where its words were cut, for what the owner's link is called cannot be told. */
export function ownerOfLabel(label: string): Owner | undefined {
  const [network, containerId, ifname, ...more] = label.split(" ");
  return network && containerId && ifname && more.length === 0 && !/[~%]/.test(label)
    ? { network, containerId, ifname }
    : undefined;
}

/**
 * Names as the protocol allows them, cut or not: a pod may write anything into an alias, and a network's name becomes
 * one of a folder.
 */
const aliasText =
  /^podwire ([a-zA-Z0-9][\w.-]*(?:~[0-9a-f]{8})?) ([a-zA-Z0-9][\w.-]*(?:~[0-9a-f]{8})?) ([!#$&-[\]-~%]+)$/;

/** Whose link has this alias, in its words, which were cut where they were long; undefined for any other link. */
export function ownerOfAlias(alias: string): Owner | undefined {
  const [, network, containerId, ifname] = aliasText.exec(alias) ?? [];
  return network && containerId && ifname ? { network, containerId, ifname } : undefined;
}

/**
 * True for the alias of another attachment's link. Container id and interface name are one attachment, whatever its
 * network is called now.
 */
export function isAnothersAlias(alias: string, owner: Owner): boolean {
  const maker = ownerOfAlias(alias);
  return maker !== undefined && alias !== linkAlias({ ...owner, network: maker.network });
}

/** True for an owner of the network, as `ownerOfAlias` gives it. */
export const isOfNetwork = (owner: Owner, network: string): boolean =>
  owner.network === networkLabel(network, ALIAS_BYTES);

/** Who the owner is, for people. */
export const describeOwner = ({ network, containerId, ifname }: Owner): string =>
  `container ${containerId} (interface ${ifname}, network ${network})`;

/** The owner a call is about. */
export const ownerOf = ({ network, containerId, ifname }: Owner): Owner => ({ network, containerId, ifname });
