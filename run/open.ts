/**
 * Opening, forking and disposing cache values.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { IOEither } from "fp-ts/IOEither.js";
import type { TaskEither } from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { ModelShape } from "../cache/shape.ts";
import type { Buffer, KvCache, LayerCache, Tier } from "../cache/types.ts";
import { ownLayers, recentBuffers, rowsOf, storeTier, tierBuffers } from "../cache/view.ts";
import type { PolicyPlan } from "../plan/types.ts";
import { checkSettled } from "./bind.ts";
import { admitNew, type CacheParts, type Memory, retire } from "./memory.ts";
import { copyRing, openTiers, tailOf } from "./resize.ts";
import { allocLayouts, allocRecent, allocTier, emptyStore, formOf, freeAll, segmentsOf, storeForm } from "./storage.ts";

/** An empty cache for a plan: one tier per layer that owns rows, with room for `capacity` rows per head (default 0; a
 * layer the plan bounds gets at most its bound, one that is thinned while text is read grows from nothing). */
export const openCache =
  (memory: Memory, plan: PolicyPlan, shape: Pick<ModelShape, "layers">, options: { readonly capacity?: number } = {}): IOEither<
    KvError,
    KvCache
  > =>
  () => {
    const capacity = options.capacity ?? 0;
    if (!Number.isSafeInteger(capacity) || capacity < 0) {
      return E.left({ _tag: "InvalidArgument", argument: "capacity", value: String(capacity), allowed: "a whole number from 0" });
    }
    if (plan.layers.length !== shape.layers.length) {
      const [expected, actual] = [`${plan.layers.length} layers as planned`, `${shape.layers.length} layers`];
      return E.left({ _tag: "ShapeMismatch", at: "opening a cache", expected, actual });
    }
    const made: Buffer[] = [];
    const parts = emptyLayers(memory, plan, shape, capacity, made);
    if (E.isLeft(parts)) {
      freeAll(memory, made)();
      return parts;
    }
    return E.right(admitNew(memory, parts.right));
  };

function emptyLayers(
  memory: Memory,
  plan: PolicyPlan,
  { layers: shapes }: Pick<ModelShape, "layers">,
  capacity: number,
  made: Buffer[],
): E.Either<KvError, CacheParts> {
  const stored = (l: number): boolean => (plan.layers[l]?.store ?? null) !== null;
  const owners = shapes.flatMap((s, l) => plan.layers[l]?.readsFrom !== l ? [] : stored(l) ? [s, s] : [s]);
  const layouts = allocLayouts(memory, owners.map((s) => s.kvHeads))();
  if (E.isLeft(layouts)) return layouts;
  made.push(layouts.right.layout);
  const layers: LayerCache[] = [];
  let at = 0;
  for (const [l, shape] of shapes.entries()) {
    const planned = plan.layers[l];
    if (planned === undefined || planned.readsFrom !== l) {
      layers.push({ _tag: "Alias", shape, layer: planned?.readsFrom ?? l });
      continue;
    }
    const { keyCodec, valueCodec, pages } = planned;
    const form = { shape, keyCodec, valueCodec, pages, columns: planned.columns.map((c) => c.name) };
    const old = storeForm(planned);
    const store = old === null ? null : emptyStore(memory, shape, old, layouts.right.offsets[at++] ?? 0, `L${l}.store`)();
    if (store !== null && E.isLeft(store)) return store;
    if (store !== null) made.push(...tierBuffers(store.right));
    const rows = planned.thinned ? 0 : planned.rowsBound === null ? capacity : Math.min(capacity, planned.rowsBound);
    const segments = segmentsOf(Array.from({ length: shape.kvHeads }, () => rows));
    const tier = allocTier(memory, form, segments, layouts.right.offsets[at++] ?? 0, `L${l}`)();
    if (E.isLeft(tier)) return tier;
    made.push(...tierBuffers(tier.right));
    const recent = allocRecent(memory, shape, planned.recentQueries, `L${l}`)();
    if (E.isLeft(recent)) return recent;
    made.push(...recentBuffers(recent.right));
    layers.push({ _tag: "Own", shape, tiers: store === null ? [tier.right] : [store.right, tier.right], recent: recent.right });
  }
  return E.right({ layers, nextPosition: 0, layout: layouts.right.layout });
}

/** A second value with the same rows that goes its own way: the rows are shared, new ones go to a fresh tail, nothing but
 * the ring of recent queries is copied. Rows that wait to pass on to a store stay as they are stored. `cache` stays as it is; dispose both, in any order.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { append, dispose, fork, fromDense, openMemory, openReference, orThrow, rowsPerHead, uniformShape } from "../mod.ts";
 * await using backend = await orThrow(openReference());
 * using memory = openMemory(backend);
 * const shape = uniformShape({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 2 });
 * const rows = { keys: Float32Array.of(3, 0, 0, 1, 2, 0), values: new Float32Array(6) };
 * const cache = await orThrow(fromDense(memory)({ shape, layers: [rows] }));
 * const question = await orThrow(fork(memory)(cache));
 * const row = { keys: Float32Array.of(1, 1), values: Float32Array.of(1, 1) };
 * const longer = await orThrow(append(memory)(question, { layers: [row] }));
 * assertEquals([rowsPerHead(cache), rowsPerHead(longer)], [[[3]], [[4]]]);
 * for (const value of [cache, question, longer]) await orThrow(dispose(memory)(value));
 * assertEquals(backend.liveBytes().buffers, 0);
 * ```
 */
export const fork = (memory: Memory): (cache: KvCache) => TaskEither<KvError, KvCache> => (cache) => async () => {
  const settled = checkSettled(memory, cache);
  if (E.isLeft(settled)) return settled;
  const made: Buffer[] = [];
  const parts = await forkLayers(memory, cache, made);
  if (E.isLeft(parts)) {
    freeAll(memory, made)();
    return parts;
  }
  return E.right(admitNew(memory, parts.right));
};

async function forkLayers(memory: Memory, cache: KvCache, made: Buffer[]): Promise<E.Either<KvError, CacheParts>> {
  const frozen = (tiers: ReadonlyArray<Tier>): ReadonlyArray<Tier> =>
    tiers.filter((t) => rowsOf(t.segments) > 0).map((t) => ({ ...t, frozen: true }));
  const heads = ownLayers(cache).flatMap(({ own }) => [...frozen(own.tiers), ...openTiers(own)].map(() => own.shape.kvHeads));
  const layouts = allocLayouts(memory, heads)();
  if (E.isLeft(layouts)) return layouts;
  made.push(layouts.right.layout);
  const layers: LayerCache[] = [];
  let at = 0;
  for (const [l, layer] of cache.layers.entries()) {
    const like = layer._tag === "Own" ? tailOf(layer) : null;
    if (layer._tag === "Alias" || like === null) {
      layers.push(layer);
      continue;
    }
    const kept = frozen(layer.tiers).map((t) => ({ ...t, layoutOffset: layouts.right.offsets[at++] ?? 0 }));
    const empty = segmentsOf(like.segments.map(() => 0));
    const old = storeTier(layer);
    const store = old === null
      ? null
      : emptyStore(memory, layer.shape, formOf(layer.shape, old), layouts.right.offsets[at++] ?? 0, `L${l}.store`)();
    if (store !== null && E.isLeft(store)) return store;
    if (store !== null) made.push(...tierBuffers(store.right));
    const tail = allocTier(memory, formOf(layer.shape, like), empty, layouts.right.offsets[at++] ?? 0, `L${l}`)();
    if (E.isLeft(tail)) return tail;
    made.push(...tierBuffers(tail.right));
    const recent = await copyRing(memory, layer, `L${l}`);
    if (E.isLeft(recent)) return recent;
    made.push(...recentBuffers(recent.right));
    layers.push({ ...layer, tiers: store === null ? [...kept, tail.right] : [...kept, store.right, tail.right], recent: recent.right });
  }
  return E.right({ layers, nextPosition: cache.nextPosition, layout: layouts.right.layout });
}

/** Ends a cache value. Memory that no other live value holds is freed; using the value again is a StaleHandle. */
export const dispose = (memory: Memory): (cache: KvCache) => IOEither<KvError, void> => (cache) => retire(memory, cache);
