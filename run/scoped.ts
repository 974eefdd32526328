/**
 * A cache value that ends with its block.
 * @module
 */
import type { KvCache } from "../cache/types.ts";
import type { Memory } from "./memory.ts";
import { retire } from "./memory.ts";

/** A cache value with its end: `using held = scoped(memory)(cache)` disposes it when the block is left. */
export interface Scoped {
  /** The value. */
  readonly cache: KvCache;
  /** Disposes it. */
  readonly [Symbol.dispose]: () => void;
}

/** Ties a value to a block. Disposing one that was consumed meanwhile does nothing. */
export const scoped = (memory: Memory): (cache: KvCache) => Scoped => (cache) => ({
  cache,
  [Symbol.dispose]: () => void retire(memory, cache)(),
});
