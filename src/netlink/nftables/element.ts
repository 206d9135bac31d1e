import { type Bytes, nested, NLM_F, text } from "../codec.ts";
import type { Message } from "../message.ts";
import { valueData, verdictData } from "./expression.ts";
import { type Element, NFT_MSG, nftMessage, type Table, tableName, userdata } from "./object.ts";

// Members of sets and maps as messages (linux/netfilter/nf_tables.h).

const elementData = ({ key, verdict, data, comment, note }: Element): Bytes =>
  nested(
    1 /* NFTA_LIST_ELEM */,
    valueData(1 /* NFTA_SET_ELEM_KEY */, key),
    ...(verdict ? [verdictData(2 /* NFTA_SET_ELEM_DATA */, verdict)] : []),
    ...(data ? [valueData(2 /* NFTA_SET_ELEM_DATA */, data)] : []),
    userdata(6 /* NFTA_SET_ELEM_USERDATA */, comment, note),
  );

const elementMessage = (
  type: number,
  flags: number,
  table: Table,
  body: { set: string; element?: Element; what: string },
): Message =>
  nftMessage(type, flags, table.family, {
    data: [
      ...text(1 /* NFTA_SET_ELEM_LIST_TABLE */, table.name),
      ...text(2 /* NFTA_SET_ELEM_LIST_SET */, body.set),
      ...(body.element ? nested(3 /* NFTA_SET_ELEM_LIST_ELEMENTS */, elementData(body.element)) : []),
    ],
    what: body.what,
  });

/** `create element`: EEXIST when the set has the key already, whatever its data. */
export const createElement = (table: Table, set: string, element: Element): Message =>
  elementMessage(NFT_MSG.NEWSETELEM, NLM_F.CREATE | NLM_F.EXCL, table, {
    set,
    element,
    what: `add to ${tableName(table)} ${set} the element of ${element.comment ?? "nobody"}`,
  });
/** `add element`: no error when the set has it already. */
export const addElement = (table: Table, set: string, element: Element): Message =>
  elementMessage(NFT_MSG.NEWSETELEM, NLM_F.CREATE, table, {
    set,
    element,
    what: `add an element to ${tableName(table)} ${set}`,
  });
export const deleteElement = (table: Table, set: string, key: Uint8Array): Message =>
  elementMessage(NFT_MSG.DELSETELEM, 0, table, {
    set,
    element: { key },
    what: `delete an element of ${tableName(table)} ${set}`,
  });
export const getElement = (table: Table, set: string, key: Uint8Array): Message =>
  elementMessage(NFT_MSG.GETSETELEM, 0, table, {
    set,
    element: { key },
    what: `find an element of ${tableName(table)} ${set}`,
  });
export const listElements = (table: Table, set: string): Message =>
  elementMessage(NFT_MSG.GETSETELEM, 0, table, { set, what: `list ${tableName(table)} ${set}` });
