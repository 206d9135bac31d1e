import { utf8Length } from "./bytes.ts";

/**
 * True for a name the kernel takes for a link (dev_valid_name, net/core/dev.c): 1 to 15 bytes, not `.` or `..`, without
 * `/`, `:` or white space.
 */
export const isLinkName = (name: string): boolean =>
  name !== "" && name !== "." && name !== ".." && !/[/:\s\0]/u.test(name) && utf8Length(name) <= 15;

/** What the kernel has below net/ipv4/conf beside links (sysctl_dev_name_is_allowed, linux/inetdevice.h). */
const ofSysctls = ["all", "default"];

/**
 * As `isLinkName`, for a link that is to be made: there the kernel takes `%` for a pattern, and "br%d" becomes "br0"
 * (__dev_alloc_name), and refuses the names that its sysctls need.
 */
export const isNewLinkName = (name: string): boolean =>
  isLinkName(name) && !name.includes("%") && !ofSysctls.includes(name);

/** What such a name must be, in words. */
export const newLinkNameRule = "a link name (1 to 15 bytes, no / : % or white space, neither all nor default)";
