/** What Go's encoder escapes inside strings beyond what JSON asks for, so that the text is safe inside HTML and JavaScript. */
const escaped = /[<>&\u2028\u2029]/g;
const escape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** The value as a runtime expects it on standard output: four spaces of indent, no newline at the end. */
export const printJson = (value: unknown): string => JSON.stringify(value, null, 4).replace(escaped, escape);

/** The value on one line, with Go's escapes. */
export const printCompactJson = (value: unknown): string => JSON.stringify(value).replace(escaped, escape);
