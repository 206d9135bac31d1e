import { RT_TABLE_DEFAULT, RT_TABLE_LOCAL } from "../../netlink/rtnetlink/route.ts";

/** Tables from here on are taken for the source routes of addresses that are given none. */
export const FIRST_TABLE = 100;

/** True for a table that routes may have been moved into; the kernel's own three are none. */
export const isSourceTable = (table: number): boolean =>
  table >= FIRST_TABLE && (table < RT_TABLE_DEFAULT || table > RT_TABLE_LOCAL);
