import { utf8Length } from "../net/bytes.ts";
import { host } from "./host.ts";

/** SHA-512 of the text in UTF-8, as 128 hex digits. */
export const sha512 = (text: string): string => host.sha512(text);

/** What the name of a file begins with that has a hash in place of its words. */
export const HASHED = "sha512:";

/** The name of a file: the words themselves, or `hashed` with their hash where they have more bytes than `most`. */
export const fileName = (words: string, { most = 200, hashed = HASHED } = {}): string =>
  utf8Length(words) <= most ? words : `${hashed}${sha512(words).slice(0, 64)}`;
