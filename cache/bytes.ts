/**
 * Exact bytes and rows of a cache value.
 * @module
 */
import { rowBytes } from "./codec.ts";
import type { ModelShape } from "./shape.ts";
import type { KvCache, Tier } from "./types.ts";
import { buffersOf, ownerOf, ownLayers, pageBytes, recentBuffers, rowsOf, tierBuffers } from "./view.ts";

/** Bytes a cache value holds, by use. `total` is the sum of the others and is what the backend has allocated for it. */
export interface CacheBytes {
  /** Codes of the rows that are kept. */
  readonly rows: number;
  /** Room that holds no row: segment slack and rounding, in row, column and position buffers alike. */
  readonly slack: number;
  /** Observations that travel with the kept rows, 4 bytes each, and the bounds of the pages that the rows make up. */
  readonly columns: number;
  /** Positions of the kept rows, 4 bytes each. */
  readonly positions: number;
  /** The device copy of the layouts. */
  readonly layouts: number;
  /** Rings of recent queries. */
  readonly recent: number;
  /** Sum of the others: what the backend has allocated. */
  readonly total: number;
}

/** Everything `cache` holds, as allocated. Memory that several values share (forks) counts in each of them. While lengths
 * are upper bounds (see `Tier.exact`) `rows` is one too; `total` is exact always. */
export function bytesOf(cache: KvCache): CacheBytes {
  const layers = ownLayers(cache);
  const tiers = layers.flatMap(({ own }) => own.tiers.map((tier) => ({ tier, own })));
  const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0);
  const kept = (tier: Tier): number => rowsOf(tier.segments);
  const rows = sum(
    tiers.map(({ tier, own }) => kept(tier) * (rowBytes(tier.keyCodec, own.shape.keyDim) + rowBytes(tier.valueCodec, own.shape.valueDim))),
  );
  const columns = sum(tiers.map(({ tier, own }) => {
    const pages = pageBytes(tier.keyCodec, own.shape.keyDim, tier.storage.pages?.rows ?? 0);
    return kept(tier) * (4 * Object.keys(tier.storage.columns).length + pages);
  }));
  const positions = sum(tiers.map(({ tier }) => 4 * kept(tier)));
  const recent = sum(layers.flatMap(({ own }) => recentBuffers(own.recent).map((b) => b.bytes)));
  const held = sum(tiers.flatMap(({ tier }) => tierBuffers(tier).map((b) => b.bytes)));
  const layouts = cache.layout.bytes;
  return {
    rows,
    slack: held - rows - columns - positions,
    columns,
    positions,
    layouts,
    recent,
    total: sum(buffersOf(cache).map((b) => b.bytes)),
  };
}

/** Rows kept per layer and KV head; a layer that shares another's rows shows that layer's lengths. */
export const rowsPerHead = (cache: KvCache): ReadonlyArray<ReadonlyArray<number>> =>
  cache.layers.map((layer, index) => {
    const owner = ownerOf(cache, index);
    return Array.from(
      { length: layer.shape.kvHeads },
      (_, head) => owner === null ? 0 : owner.own.tiers.reduce((sum, tier) => sum + (tier.segments[head]?.length ?? 0), 0),
    );
  });

/** Rows really held, over all layers and heads: shared layers hold none. */
export const rowsKept = (cache: KvCache): number =>
  ownLayers(cache).reduce((sum, { own }) => sum + own.tiers.reduce((s, tier) => s + rowsOf(tier.segments), 0), 0);

/** Bytes of the whole cache in f16: the yardstick of every reported ratio.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { uniformShape } from "./uniform.ts";
 * const shape = uniformShape({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 8 });
 * assertEquals(fullBytes(shape, 10), 2 * 2 * 10 * (8 + 8) * 2);
 * ```
 */
export const fullBytes = (shape: Pick<ModelShape, "layers">, tokens: number): number =>
  shape.layers.reduce((sum, layer) => sum + layer.kvHeads * (layer.keyDim + layer.valueDim) * 2 * tokens, 0);
