/**
 * Room for rows: growth, tight reallocation and private copies. Growth is by an eighth: appending
 * stays O(1) amortised (about eight rows copied per row, little beside the attention that reads all of them), and slack stays small.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import { codecName } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { Buffer, KvCache, LayerCache, Segment, Tier } from "../cache/types.ts";
import { type OwnLayer, ownLayers, recentBuffers, storeTier, tierBuffers } from "../cache/view.ts";
import type { PolicyPlan } from "../plan/types.ts";
import { copyRecent, tierCopier } from "./copy.ts";
import { admitNew, type CacheParts, checkLive, isShared, type Memory, retire } from "./memory.ts";
import { allocLayouts, allocRecent, allocTier, formOf, freeAll, segmentsOf } from "./storage.ts";

/** Smallest number of spare rows per head that growth leaves. */
const MIN_SPARE = 32;

/** Spare rows per head that growth leaves where nothing bounds them: room for `rows` and for an eighth more. */
export function usualSpare(segments: ReadonlyArray<Segment>, rows: number): number {
  const mean = segments.reduce((sum, s) => sum + s.length, 0) / Math.max(1, segments.length);
  return Math.max(rows, Math.ceil(mean / 8), MIN_SPARE);
}

/** Capacities, per head, that leave room for `rows` more rows and for growth by an eighth; never more than `bound + rows`
 * where the plan bounds the rows of a head. */
export function grownCapacities(segments: ReadonlyArray<Segment>, rows: number, bound: number | null): ReadonlyArray<number> {
  const spare = usualSpare(segments, rows);
  return segments.map((s) => bound === null ? s.length + spare : Math.max(s.length + rows, Math.min(s.length + spare, bound + rows)));
}

/** The tier rows are appended to. */
export const tailOf = (own: OwnLayer): Tier | null => own.tiers[own.tiers.length - 1] ?? null;

/** The tiers that take rows: the store, if there is one, and the tail. */
export const openTiers = (own: OwnLayer): ReadonlyArray<Tier> => own.tiers.filter((t, i) => !t.frozen || i === own.tiers.length - 1);

/** True if every head has room for `rows` more. */
export const hasRoom = (tier: Tier, rows: number): boolean => tier.segments.every((s) => s.length + rows <= s.capacity);

/** Gives tier `at` of layer `index` memory with these capacities. The input is consumed, also on Left. */
export const resizeTier =
  (memory: Memory, index: number, at: number, capacities: ReadonlyArray<number>): (cache: KvCache) => TE.TaskEither<KvError, KvCache> =>
  (cache) =>
  async () => {
    const layer = cache.layers[index];
    const tier = layer?._tag === "Own" ? layer.tiers[at] : undefined;
    if (layer === undefined || layer._tag !== "Own" || tier === undefined) return E.right(cache);
    const moved = await moveTier(memory, layer, [tier], capacities, tier.layoutOffset, `L${index}`)();
    if (E.isLeft(moved)) {
      retire(memory, cache)();
      return moved;
    }
    const next = { ...layer, tiers: layer.tiers.map((t, i) => i === at ? moved.right : t) };
    return replaceBy(memory, cache, { ...cache, layers: cache.layers.map((l, i) => i === index ? next : l) });
  };

/** Registers `parts` as a new value in place of `cache`, which is consumed. */
export function replaceBy(memory: Memory, cache: KvCache, parts: CacheParts): E.Either<KvError, KvCache> {
  const { layers, nextPosition, layout } = parts;
  const next = admitNew(memory, { layers, nextPosition, layout });
  const gone = retire(memory, cache)();
  return E.isLeft(gone) ? gone : E.right(next);
}

/** Gives tails and stores tight memory: each head keeps its rows, a tail room for `spare` more. Those that are tight already, or that
 * other values share, stay. The input is consumed, also on Left. */
export const shrink = (memory: Memory, spare = 0): (cache: KvCache) => TE.TaskEither<KvError, KvCache> => (cache) => {
  const loose = ownLayers(cache).flatMap(({ index, own }) => {
    const room = (tier: Tier): number => tier === tailOf(own) ? spare : 0;
    return own.tiers.flatMap((tier, at) => {
      if (!openTiers(own).includes(tier) || !tier.exact || isShared(memory, tierBuffers(tier))) return [];
      const capacities = tier.segments.map((s) => s.length + room(tier));
      return tier.segments.some((s, h) => s.capacity > (capacities[h] ?? 0)) ? [{ index, at, capacities }] : [];
    });
  });
  return loose.reduce<TE.TaskEither<KvError, KvCache>>(
    (done, { index, at, capacities }) => pipe(done, TE.chain(resizeTier(memory, index, at, capacities))),
    TE.fromEither(checkLive(memory, cache)),
  );
};

/** Rings of queries that nothing looks at after the prompt are given back. The input is consumed, also on Left. */
export const dropRings = (memory: Memory, plan: PolicyPlan): (cache: KvCache) => E.Either<KvError, KvCache> => (cache) => {
  const idle = (l: number): boolean => plan.layers[l]?.ringLasts === false;
  if (!ownLayers(cache).some(({ own, index }) => own.recent !== null && idle(index))) return checkLive(memory, cache);
  const layers = cache.layers.map((layer, l): LayerCache => layer._tag === "Own" && idle(l) ? { ...layer, recent: null } : layer);
  return replaceBy(memory, cache, { ...cache, layers });
};

/** Rings that hold more queries than the plan looks at become rings of the newest of them. The input is consumed, also on Left. */
export const narrowRings =
  (memory: Memory, plan: PolicyPlan): (cache: KvCache) => TE.TaskEither<KvError, KvCache> => (cache) => async () => {
    const live = checkLive(memory, cache);
    if (E.isLeft(live)) return live;
    const made: Buffer[] = [];
    const layers: LayerCache[] = [];
    for (const [l, layer] of cache.layers.entries()) {
      const window = plan.layers[l]?.recentQueries ?? 0;
      if (layer._tag === "Alias" || layer.recent === null || layer.recent.window <= window) {
        layers.push(layer);
        continue;
      }
      const recent = await copyRing(memory, layer, `L${l}`, window);
      if (E.isLeft(recent)) {
        freeAll(memory, made)();
        retire(memory, cache)();
        return recent;
      }
      made.push(...recentBuffers(recent.right));
      layers.push({ ...layer, recent: recent.right });
    }
    return layers.every((layer, l) => layer === cache.layers[l]) ? E.right(cache) : replaceBy(memory, cache, { ...cache, layers });
  };

/** How {@link copyCache} lays out the copy. */
export interface CopyOptions {
  /** All tiers of a layer become one, or a store and a tail; otherwise frozen tiers stay shared and only open ones are copied. */
  readonly flatten: boolean;
  /** Capacities per head for these rows, whose lengths are what will be copied. */
  readonly capacities: (layer: number, segments: ReadonlyArray<Segment>) => ReadonlyArray<number>;
}

/** A value with tail memory of its own and the same rows. `cache` stays as it is. */
export const copyCache =
  (memory: Memory, options: CopyOptions): (cache: KvCache) => TE.TaskEither<KvError, KvCache> => (cache) => async () => {
    const live = checkLive(memory, cache);
    if (E.isLeft(live)) return live;
    const made: Buffer[] = [];
    const copied = await copyLayers(memory, options, cache, made);
    if (E.isLeft(copied)) {
      freeAll(memory, made)();
      return copied;
    }
    return E.right(admitNew(memory, copied.right));
  };

async function copyLayers(memory: Memory, options: CopyOptions, cache: KvCache, made: Buffer[]): Promise<E.Either<KvError, CacheParts>> {
  const kept = (own: OwnLayer): ReadonlyArray<Tier> => options.flatten ? [] : own.tiers.filter((t) => t.frozen);
  const heads = ownLayers(cache).flatMap(({ own }) => [...kept(own), ...openTiers(own)].map(() => own.shape.kvHeads));
  const layouts = allocLayouts(memory, heads)();
  if (E.isLeft(layouts)) return layouts;
  made.push(layouts.right.layout);
  const layers: LayerCache[] = [];
  let at = 0;
  const offset = (): number => layouts.right.offsets[at++] ?? 0;
  for (const [index, layer] of cache.layers.entries()) {
    if (layer._tag === "Alias") {
      layers.push(layer);
      continue;
    }
    const frozen = kept(layer).map((tier) => ({ ...tier, layoutOffset: offset() }));
    const store = storeTier(layer);
    const rest = layer.tiers.slice(frozen.length);
    const passed = store === null ? [] : rest.filter((t) => t === store || (t !== tailOf(layer) && storedAlike(t, store) && t.frozen));
    const room = passed.length === 1 ? store?.segments.map((s) => s.capacity) : summed(passed).map((s) => s.length);
    const copied = store === null ? null : await moveTier(memory, layer, passed, room ?? [], offset(), `L${index}`)();
    if (copied !== null && E.isLeft(copied)) return copied;
    if (copied !== null) made.push(...tierBuffers(copied.right));
    const sources = rest.filter((t) => !passed.includes(t));
    const tail = await moveTier(
      memory,
      layer,
      sources,
      options.capacities(index, summed(sources)),
      offset(),
      `L${index}`,
    )();
    if (E.isLeft(tail)) return tail;
    made.push(...tierBuffers(tail.right));
    const recent = await copyRing(memory, layer, `L${index}`);
    if (E.isLeft(recent)) return recent;
    made.push(...recentBuffers(recent.right));
    layers.push({ ...layer, tiers: [...frozen, ...(copied === null ? [] : [copied.right]), tail.right], recent: recent.right });
  }
  return E.right({ layers, nextPosition: cache.nextPosition, layout: layouts.right.layout });
}

const storedAlike = (a: Tier, b: Tier): boolean =>
  codecName(a.keyCodec) === codecName(b.keyCodec) && codecName(a.valueCodec) === codecName(b.valueCodec);

/** A private copy of a layer's ring, or of its newest `window` entries. */
export async function copyRing(
  memory: Memory,
  layer: OwnLayer,
  label: string,
  window: number = layer.recent?.window ?? 0,
): Promise<E.Either<KvError, OwnLayer["recent"]>> {
  const { recent, shape } = layer;
  const target = allocRecent(memory, shape, window, label)();
  if (E.isLeft(target) || target.right === null || recent === null) return target;
  const copied = await copyRecent(memory, shape, recent, target.right)();
  if (E.isRight(copied)) return target;
  freeAll(memory, recentBuffers(target.right))();
  return copied;
}

/** Segments as long as those of all tiers together. */
const summed = (tiers: ReadonlyArray<Tier>): ReadonlyArray<Segment> =>
  (tiers[0]?.segments ?? []).map((first, head) => ({
    ...first,
    length: tiers.reduce((sum, tier) => sum + (tier.segments[head]?.length ?? 0), 0),
  }));

/** New memory for the rows of `sources`, with the rows copied into it; on Left nothing stays allocated. */
const moveTier = (
  memory: Memory,
  layer: OwnLayer,
  sources: ReadonlyArray<Tier>,
  capacities: ReadonlyArray<number>,
  layoutOffset: number,
  label: string,
): TE.TaskEither<KvError, Tier> =>
async () => {
  const like = sources[sources.length - 1];
  if (like === undefined) return E.left({ _tag: "ShapeMismatch", at: label, expected: "at least one tier", actual: "none" });
  const copier = await tierCopier(memory, layer.shape, like)();
  if (E.isLeft(copier)) return copier;
  const segments = segmentsOf(capacities, summed(sources).map((s) => s.length));
  const target = allocTier(memory, formOf(layer.shape, like), segments, layoutOffset, label)();
  if (E.isLeft(target)) return target;
  const copied = copier.right.copy(sources, target.right)();
  if (E.isRight(copied)) return target;
  freeAll(memory, tierBuffers(target.right))();
  return copied;
};
