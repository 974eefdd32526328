/**
 * Questions that every user of a cache value asks: who owns a layer's rows, how long are the heads, which memory is held.
 * @module
 */
import { rowBytes } from "./codec.ts";
import type { Buffer, Codec, KvCache, LayerCache, RecentQueries, Segment, Tier } from "./types.ts";

/** A layer that holds rows itself. */
export type OwnLayer = Extract<LayerCache, { readonly _tag: "Own" }>;

/** Bytes of one tier's layout: u32 (start, length, capacity) per KV head. */
export const layoutBytes = (heads: number): number => heads * 12;

/** The layer that holds the rows `layer` reads, or null if there is no such layer. */
export function ownerOf(cache: KvCache, layer: number): { readonly index: number; readonly own: OwnLayer } | null {
  const found = cache.layers[layer];
  if (found === undefined) return null;
  if (found._tag === "Own") return { index: layer, own: found };
  const own = cache.layers[found.layer];
  return own !== undefined && own._tag === "Own" ? { index: found.layer, own } : null;
}

/** The layers that hold rows, with their indices. */
export function ownLayers(cache: KvCache): ReadonlyArray<{ readonly index: number; readonly own: OwnLayer }> {
  return cache.layers.flatMap((own, index) => own._tag === "Own" ? [{ index, own }] : []);
}

/** The tier that older rows pass on to, which takes rows like the tail behind it, or null. */
export function storeTier(own: OwnLayer): Tier | null {
  const before = own.tiers[own.tiers.length - 2];
  return before === undefined || before.frozen ? null : before;
}

/** Slots of a tier's buffers: the end of its last segment. */
export const slotsOf = (segments: ReadonlyArray<Segment>): number => segments.reduce((end, s) => Math.max(end, s.start + s.capacity), 0);

/** Rows held in these segments. */
export const rowsOf = (segments: ReadonlyArray<Segment>): number => segments.reduce((sum, s) => sum + s.length, 0);

/** Bytes per slot of the bounds of pages of `rows` keys: two keys in the slots of a page, whole words. Pages of one row need none, and
 * `rows` 0 is no pages. */
export const pageBytes = (codec: Codec, dim: number, rows: number): number =>
  rows <= 1 ? 0 : 4 * Math.ceil(2 * rowBytes(codec, dim) / rows / 4);

/** Every buffer of a tier: keys, values, position, then columns and bounds of pages. */
export const tierBuffers = (tier: Tier): ReadonlyArray<Buffer> => [
  tier.storage.keys,
  tier.storage.values,
  tier.storage.position,
  ...Object.values(tier.storage.columns),
  ...(tier.storage.pages === null ? [] : [tier.storage.pages.bounds]),
];

/** Every buffer of a ring. */
export const recentBuffers = (recent: RecentQueries | null): ReadonlyArray<Buffer> =>
  recent === null ? [] : [recent.queries, recent.lse, recent.position];

/** Every buffer a cache value holds, each once. */
export function buffersOf(cache: KvCache): ReadonlyArray<Buffer> {
  const all = ownLayers(cache).flatMap(({ own }) => [...own.tiers.flatMap(tierBuffers), ...recentBuffers(own.recent)]);
  return [...new Map([cache.layout, ...all].map((b) => [b.id, b])).values()];
}
