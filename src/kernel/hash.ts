import { host } from "./host.ts";

/** SHA-512 of the text in UTF-8, as 128 hex digits. */
export const sha512 = (text: string): string => host.sha512(text);
