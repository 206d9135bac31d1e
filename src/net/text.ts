/** Text for a terminal: control characters, which could rewrite what stands there, are written `\x1b`; lines stay. */
export const visible = (text: string): string => text.replaceAll(/(?![\t\n])\p{Cc}/gu, escape);

const escape = (control: string): string => `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`;

/** A whole number with commas between its thousands. */
export const thousands = (number: number | bigint): string => String(number).replaceAll(/\B(?=(?:\d{3})+$)/g, ",");
