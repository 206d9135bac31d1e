import { viewOf } from "../../net/bytes.ts";
import { type Attributes, decodeAttributes, decodeList } from "../codec.ts";
import type { Rule } from "./decode.ts";
import { NFT_META, NFT_PAYLOAD } from "./expression.ts";

/**
 * What a rule `[ip daddr ADDRESS] PROTOCOL dport PORT dnat to TARGET:...` says, addresses as they stand in a packet.
 */
export interface Translation {
  protocol: number;
  port: number;
  /** undefined: whatever address it was sent to */
  address?: Uint8Array;
  target: Uint8Array;
}

/** What a register holds: a value, or the name of what was loaded from the packet. */
type Content = Uint8Array | "protocol" | "port" | "address";
const NFT_CMP_EQ = 0;
const NFT_NAT_DNAT = 1;

/** The rule as a translation, undefined when it has any other form. */
export function decodeTranslation({ expressions }: Rule): Translation | undefined {
  const registers = new Map<number, Content>();
  const found: Partial<Record<"protocol" | "port" | "address" | "target", Uint8Array>> = {};
  for (const item of decodeList(expressions)) {
    const expression = decodeAttributes(item);
    if (!step(expression.text(1 /* NFTA_EXPR_NAME */), expression.nested(2 /* NFTA_EXPR_DATA */), registers, found)) {
      return undefined;
    }
  }
  const { protocol, port, address, target } = found;
  return (
    protocol &&
    port &&
    target && { protocol: protocol[0]!, port: viewOf(port).getUint16(0), target, ...(address && { address }) }
  );
}

/** Does what one expression does, to names instead of packets; false for one that is not part of the form. */
function step(
  name: string,
  data: Attributes,
  registers: Map<number, Content>,
  found: Partial<Record<string, Uint8Array>>,
): boolean {
  const word = (type: number): number => data.be32(type) ?? 0;
  const value = (type: number): Uint8Array | undefined => data.nested(type).get(1 /* NFTA_DATA_VALUE */);
  const load = (content: Content | undefined): boolean => {
    if (content !== undefined) {
      registers.set(word(1 /* NFTA_META_DREG, NFTA_PAYLOAD_DREG, NFTA_IMMEDIATE_DREG */), content);
    }
    return content !== undefined;
  };
  switch (name) {
    case "counter":
      return true;
    case "meta":
      return load(word(2 /* NFTA_META_KEY */) === NFT_META.L4PROTO ? "protocol" : undefined);
    case "payload":
      return load(
        fieldAt(word(2 /* NFTA_PAYLOAD_BASE */), word(3 /* NFTA_PAYLOAD_OFFSET */), word(4 /* NFTA_PAYLOAD_LEN */)),
      );
    case "immediate":
      return load(value(2 /* NFTA_IMMEDIATE_DATA */));
    case "cmp": {
      const [subject, wanted] = [registers.get(word(1 /* NFTA_CMP_SREG */)), value(3 /* NFTA_CMP_DATA */)];
      if (typeof subject !== "string" || word(2 /* NFTA_CMP_OP */) !== NFT_CMP_EQ || !wanted) return false;
      found[subject] = wanted;
      return true;
    }
    case "nat": {
      const target = registers.get(word(3 /* NFTA_NAT_REG_ADDR_MIN */));
      if (word(1 /* NFTA_NAT_TYPE */) !== NFT_NAT_DNAT || typeof target !== "object") return false;
      found.target = target;
      return true;
    }
    default:
      return false;
  }
}

/** The fields the form compares: destination address of IPv4 or IPv6, destination port. */
function fieldAt(base: number, offset: number, length: number): "address" | "port" | undefined {
  const isAddress =
    base === NFT_PAYLOAD.NETWORK_HEADER && ((offset === 16 && length === 4) || (offset === 24 && length === 16));
  if (isAddress) return "address";
  return base === NFT_PAYLOAD.TRANSPORT_HEADER && offset === 2 && length === 2 ? "port" : undefined;
}
