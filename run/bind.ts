/**
 * A cache value around one run: the names its memory is bound to, its layouts on the device, and the value after the run.
 *
 * A run that appends `m` rows at a point of a plan goes like this; every step consumes the value before it:
 * `reserve(memory, plan, point, m)` → `stage(memory)` → `backend.run(prepared, bindings(cache))` → `advance(memory, m,
 * plan.evictsAt(point))` → if rows may have left, `settle(memory)`.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { pipe } from "fp-ts/function.js";
import * as IOE from "fp-ts/IOEither.js";
import * as TE from "fp-ts/TaskEither.js";
import type { Binding } from "../backends/backend.ts";
import type { KvError } from "../cache/error.ts";
import type { KvCache, LayerCache, Segment, Tier } from "../cache/types.ts";
import { layoutBytes, ownLayers, storeTier, tierBuffers } from "../cache/view.ts";
import type { PolicyPlan, SplicePoint } from "../plan/types.ts";
import { encodeLayouts } from "./copy.ts";
import { atFrontier, checkLive, isShared, type Memory, orRetire, retire, succeed } from "./memory.ts";
import { copyCache, grownCapacities, openTiers, resizeTier, tailOf, usualSpare } from "./resize.ts";

/** Names of a layer's memory: the tail tier is `L3.keys`, the frozen tier i of a fork `L3.t0.keys`. */
export const tierName = (layer: number, tier: number, tiers: number): string => tier === tiers - 1 ? `L${layer}` : `L${layer}.t${tier}`;

/** All memory of a cache by name: `L{l}.keys`, `.values`, `.position`, `.layout`, `.column.{name}`, `.bounds`,
 * `.recent.{queries,lse,position}`, and the same with `L{l}.t{i}` for frozen tier i. Layers that share another's rows have no names. */
export function bindings(cache: KvCache): Readonly<Record<string, Binding>> {
  const all: Record<string, Binding> = {};
  for (const { index, own: { tiers, recent } } of ownLayers(cache)) {
    for (const [i, { storage, layoutOffset }] of tiers.entries()) {
      const name = tierName(index, i, tiers.length);
      all[`${name}.keys`] = { buffer: storage.keys };
      all[`${name}.values`] = { buffer: storage.values };
      all[`${name}.position`] = { buffer: storage.position };
      all[`${name}.layout`] = { buffer: cache.layout, offset: layoutOffset };
      for (const [column, buffer] of Object.entries(storage.columns)) all[`${name}.column.${column}`] = { buffer };
      if (storage.pages !== null) all[`${name}.bounds`] = { buffer: storage.pages.bounds };
    }
    if (recent === null) continue;
    all[`L${index}.recent.queries`] = { buffer: recent.queries };
    all[`L${index}.recent.lse`] = { buffer: recent.lse };
    all[`L${index}.recent.position`] = { buffer: recent.position };
  }
  return all;
}

/** Makes the cache ready for a run that appends `rows` tokens at this point: room in every head; memory of its own, in one
 * tier, where the plan rewrites rows or columns there; a private tail where another value has appended already.
 * The input is consumed, also on Left. */
export const reserve =
  (memory: Memory, plan: PolicyPlan, point: SplicePoint, rows: number): (cache: KvCache) => TE.TaskEither<KvError, KvCache> => (cache) =>
    pipe(
      isExact(cache) ? TE.fromEither(checkLive(memory, cache)) : pipe(settle(memory)(cache), orRetire(memory, cache)),
      TE.chain((exact) => {
        const bound = (layer: number): number | null => plan.layers[layer]?.rowsBound ?? null;
        // The end of a prompt acts on all of its rows, those that a fork shares too.
        const together = plan.judgesAt(point) || point._tag === "PrefillEnd";
        const flatten = ownLayers(exact).some(({ own }) =>
          storeTier(own) === null ? own.tiers.length > 1 && plan.rewritesAt(point) : own.tiers.length > 2 && together
        );
        const open = ownLayers(exact).flatMap(({ own }) => openTiers(own));
        const shared = plan.rewritesAt(point) ? isShared(memory, open.flatMap(tierBuffers)) : rows > 0 && !atFrontier(memory, exact);
        if (flatten || shared) return pipe(privately(memory, flatten, rows, bound)(exact), TE.chain(growStores(memory, plan, point, rows)));
        return growAll(memory, point, [...tailGrowth(rows, bound)(exact), ...storeGrowth(plan, point, rows)(exact)])(exact);
      }),
    );

/** Memory of a layer, the rows per head that it takes now, and the capacities that growing would give it, worked out when they are needed. */
interface Growth {
  readonly index: number;
  readonly at: number;
  readonly segments: ReadonlyArray<Segment>;
  readonly taken: ReadonlyArray<number>;
  readonly wanted: () => ReadonlyArray<number>;
}

const isFull = ({ segments, taken }: Growth): boolean => segments.some((s, h) => s.capacity < s.length + (taken[h] ?? 0));

function mayGrow({ segments, wanted }: Growth): boolean {
  const capacities = wanted();
  return segments.some((s, h) => s.capacity < (capacities[h] ?? 0));
}

/** What is full grows. Between steps, all grow with it that have taken rows since they grew last: programs depend on how memory is cut, and
 * building them anew costs more than moving rows. */
const growAll = (memory: Memory, point: SplicePoint, all: ReadonlyArray<Growth>) => (cache: KvCache): TE.TaskEither<KvError, KvCache> =>
  (all.some(isFull) ? all.filter(point._tag === "AfterStep" ? mayGrow : isFull) : [])
    .reduce<TE.TaskEither<KvError, KvCache>>(
      (done, { index, at, wanted }) => pipe(done, TE.chain(resizeTier(memory, index, at, wanted()))),
      TE.right(cache),
    );

/** Room for rows in each tail. */
const tailGrowth = (rows: number, bound: (layer: number) => number | null) => (cache: KvCache): ReadonlyArray<Growth> =>
  ownLayers(cache).map(({ index, own }) => {
    const segments = tailOf(own)?.segments ?? [];
    const wanted = () => grownCapacities(segments, rows, bound(index));
    return { index, at: own.tiers.length - 1, segments, taken: segments.map(() => rows), wanted };
  });

/** Room in each store for what may pass on to it in this run: whole groups of the rows that will be old. */
const storeGrowth = (plan: PolicyPlan, point: SplicePoint, rows: number) => (cache: KvCache): ReadonlyArray<Growth> =>
  ownLayers(cache).flatMap(({ index, own }) => {
    const [store, tail, planned] = [storeTier(own), tailOf(own), plan.layers[index]?.store ?? null];
    if (store === null || tail === null || planned === null || !plan.passesAt(point, index)) return [];
    const { group, single, recent } = planned;
    const { segments } = store;
    const taken = tail.segments.map((s, h) => {
      const whole = s.length + (segments[h]?.length ?? 0) === cache.nextPosition;
      const old = s.length + rows - (whole ? recent : 0);
      const passing = Math.floor(Math.max(0, old) / group) * group;
      return single && point._tag === "AfterStep" ? Math.min(1, passing) : passing;
    });
    const wanted = () => {
      const spare = point._tag === "PrefillEnd" ? 0 : Math.ceil(usualSpare(segments, 0) / group) * group;
      return segments.map((s, h) => s.length + Math.max(taken[h] ?? 0, spare));
    };
    return [{ index, at: own.tiers.length - 2, segments, taken, wanted }];
  });

/** Room in each store for what may pass on to it in this run. The input is consumed, also on Left. */
export const growStores = (memory: Memory, plan: PolicyPlan, point: SplicePoint, rows: number) => (cache: KvCache) =>
  growAll(memory, point, storeGrowth(plan, point, rows)(cache))(cache);

const privately =
  (memory: Memory, flatten: boolean, rows: number, bound: (layer: number) => number | null) =>
  (cache: KvCache): TE.TaskEither<KvError, KvCache> =>
  async () => {
    const copied = await copyCache(memory, { flatten, capacities: (l, segments) => grownCapacities(segments, rows, bound(l)) })(cache)();
    const gone = retire(memory, cache)();
    return E.isRight(copied) && E.isLeft(gone) ? gone : copied;
  };

/** True if the host knows every length. */
export const isExact = (cache: KvCache): boolean => ownLayers(cache).every(({ own }) => own.tiers.every((tier) => tier.exact));

/** Left unless the value is live and its lengths have been read back. */
export function checkSettled(memory: Memory, cache: KvCache): E.Either<KvError, KvCache> {
  const live = checkLive(memory, cache);
  if (E.isLeft(live) || isExact(cache)) return live;
  return E.left({ _tag: "InvalidArgument", argument: "cache", value: "lengths not read back", allowed: "a settled cache" });
}

/** Uploads the layouts of this value, so that the next run sees exactly its rows. Lengths the device decided and nobody has
 * read yet stay as the device has them. */
export const stage = (memory: Memory): (cache: KvCache) => IOE.IOEither<KvError, void> => (cache) => () => {
  const live = checkLive(memory, cache);
  if (E.isLeft(live)) return live;
  if (!isExact(cache)) return E.right(undefined);
  const bytes = new Uint8Array(cache.layout.bytes);
  for (const { own } of ownLayers(cache)) {
    for (const tier of own.tiers) bytes.set(encodeLayouts([tier.segments], layoutBytes(tier.segments.length)), tier.layoutOffset);
  }
  return memory.backend.write(cache.layout, 0, bytes)();
};

/** The value after a run that appended `m` rows per head; `evicted` says that the run may also have removed rows, whose
 * new lengths only the device knows until {@link settle}. The input is consumed. */
export const advance = (memory: Memory, m: number, evicted = false): (cache: KvCache) => IOE.IOEither<KvError, KvCache> => (cache) => {
  const grown = (tier: Tier, isTail: boolean): Tier => ({
    ...tier,
    exact: tier.exact && !evicted,
    segments: tier.segments.map((s) => ({ ...s, length: s.length + (isTail ? m : 0) })),
  });
  if (m > 0 && !atFrontier(memory, cache)) return IOE.left({ _tag: "StaleHandle", handle: `the tail of cache value ${cache.epoch}` });
  const layers = mapOpen(cache, (tier, _, isTail) => grown(tier, isTail));
  return succeed(memory, { layers, nextPosition: cache.nextPosition + m })(cache);
};

/** Reads back the lengths the device decided. The input is consumed, unless this fails. */
export const settle = (memory: Memory): (cache: KvCache) => TE.TaskEither<KvError, KvCache> => (cache) => {
  if (isExact(cache)) return TE.fromEither(checkLive(memory, cache));
  return pipe(
    TE.fromEither(checkLive(memory, cache)),
    TE.chain(() => memory.backend.read(cache.layout, 0, cache.layout.bytes)),
    TE.chainEitherK((bytes) => withLengths(cache, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))),
    TE.chainIOEitherK((layers) => succeed(memory, { layers, nextPosition: cache.nextPosition })(cache)),
  );
};

function withLengths(cache: KvCache, view: DataView): E.Either<KvError, ReadonlyArray<LayerCache>> {
  const wrong: string[] = [];
  const layers = mapOpen(cache, (tail, index) => ({
    ...tail,
    exact: true,
    segments: tail.segments.map((s, h) => {
      const length = view.getUint32(tail.layoutOffset + h * 12 + 4, true);
      if (length > s.capacity) wrong.push(`layer ${index} head ${h}: ${length} of ${s.capacity}`);
      return { ...s, length };
    }),
  }));
  return wrong[0] === undefined
    ? E.right(layers)
    : E.left({ _tag: "ShapeMismatch", at: "lengths read back", expected: "at most the capacity", actual: wrong[0] });
}

/** Changes the tiers that take rows: every layer's tail, and its store. */
const mapOpen = (cache: KvCache, f: (tier: Tier, layer: number, isTail: boolean) => Tier): ReadonlyArray<LayerCache> =>
  cache.layers.map((layer, index) =>
    layer._tag === "Alias"
      ? layer
      : { ...layer, tiers: layer.tiers.map((t, i) => t.frozen ? t : f(t, index, i === layer.tiers.length - 1)) }
  );
