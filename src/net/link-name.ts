/** True for a name the kernel takes for a link (dev_valid_name, net/core/dev.c): 1 to 15 bytes, not `.` or `..`, without `/`, `:` or white space. */
export const isLinkName = (name: string): boolean => name !== "" && name !== "." && name !== ".." && !/[/:\s\0]/u.test(name) && Buffer.byteLength(name) <= 15;
