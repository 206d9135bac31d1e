export type Family = 4 | 6;

/** An address as a number: 32 bits for family 4, 128 for family 6. Two equal addresses have equal fields. */
export interface Ip {
  readonly family: Family;
  readonly value: bigint;
}

/** An address with its prefix length; host bits are kept (use `networkOf` to clear them). */
export interface Prefix {
  readonly ip: Ip;
  readonly length: number;
}

const bitsOf = { 4: 32, 6: 128 } as const;

/** Bits of an address of the family: 32 or 128. */
export const bits = (family: Family): 32 | 128 => bitsOf[family];
