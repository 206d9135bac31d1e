import type * as pure from "../net/primitives.ts";

// In the executable the engine (src/engine) does what src/net/primitives.ts does.
const engine = (globalThis as unknown as { primitives: typeof pure }).primitives;

export const {
  encodeUtf8,
  decodeUtf8,
  decodeCString,
  indexOfBytes,
  compareBytes,
  encodeHex,
  findAttribute,
  includesAttributes,
} = engine;
