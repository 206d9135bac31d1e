import type { Message } from "../message.ts";
import { text } from "../codec.ts";
import { NFT_MSG, nftMessage, type Table } from "./object.ts";

const tableMessage = (type: number, { family, name }: Table, what: string): Message =>
  nftMessage(type, 0, family, { data: text(1 /* NFTA_TABLE_NAME */, name), what: `${what} ${name}` });

export const getTable = (table: Table): Message => tableMessage(NFT_MSG.GETTABLE, table, "find nftables table");
export const deleteTable = (table: Table): Message => tableMessage(NFT_MSG.DELTABLE, table, "delete nftables table");
