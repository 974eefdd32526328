/**
 * The rows of a layer's store and of its tail as one list to choose from, and what is chosen taken apart again.
 * @module
 */
import type { Slot } from "../backends/program.ts";
import { codecName, rowBytes } from "../cache/codec.ts";
import type { Codec } from "../cache/types.ts";
import { portsOf } from "../policy/needs.ts";
import type { Port, Score } from "../policy/types.ts";
import { emit, temp } from "./draft.ts";
import { scoresIn } from "./scores.ts";
import type { Site } from "./site.ts";
import type { Draft, StoreSlots } from "./types.ts";

/** Positions and columns: words as they are. */
export const word: Codec = { _tag: "Plain", dtype: "f32" };

/** The layer as its store alone, or null if it has none. */
export const storeSite = (site: Site): Site | null => {
  const { slots, plan } = site;
  return slots.store === null || plan.store === null ? null : {
    ...site,
    slots: { ...slots, ...slots.store, store: null },
    plan: { ...plan, keyCodec: plan.store.keyCodec, valueCodec: plan.store.valueCodec },
  };
};

/** A layer whose rows are those of its store and its tail together, and where each comes from. */
export interface Woven {
  /** Keys, values and columns are there as far as the score looks at them. */
  readonly site: Site;
  /** u32 per slot. */
  readonly order: Slot;
}

/** Both tiers as one: positions, and what this score looks at. Keys and values are read as the tail stores its keys, codes as halves. */
export const weaveTiers = (site: Site, store: StoreSlots, score: Score) => (draft: Draft): readonly [Woven, Draft] => {
  const { slots, shape: { kvHeads: heads, keyDim, valueDim }, plan } = site;
  const capacity = store.capacity + slots.capacity;
  const [order, d1] = temp("order", capacity * 4)(draft);
  const [layout, d2] = temp("woven", heads * 12)(d1);
  const d3 = emit({ op: "weave", args: [store.position, store.layout, slots.position, slots.layout, order, layout], params: { heads } })(
    d2,
  );
  const half: Codec = plan.keyCodec._tag === "Plain" ? plan.keyCodec : { _tag: "Plain", dtype: "f16" };
  const rows =
    (from: Slot, to: Slot, [first, second, both]: readonly [Codec, Codec, Codec], dim: number) => (d: Draft): readonly [Slot, Draft] => {
      const [out, d1] = temp("woven rows", capacity * rowBytes(both, dim))(d);
      const args = [from, store.layout, to, slots.layout, order, layout, out];
      const params = { heads, dim, firstCodec: codecName(first), secondCodec: codecName(second), wovenCodec: codecName(both) };
      return [out, emit({ op: "weaveRows", args, params })(d1)];
    };
  const words = (from: Slot, to: Slot) => rows(from, to, [word, word, word], 1);
  const wanted: ReadonlySet<Port> = new Set(portsOf(score));
  const [position, d4] = words(store.position, slots.position)(d3);
  const [keys, d5] = wanted.has("keys")
    ? rows(store.keys, slots.keys, [plan.store?.keyCodec ?? half, plan.keyCodec, half], keyDim)(d4)
    : [slots.keys, d4];
  const [values, d6] = wanted.has("values")
    ? rows(store.values, slots.values, [plan.store?.valueCodec ?? half, plan.valueCodec, half], valueDim)(d5)
    : [slots.values, d5];
  const [columns, d7] = columnsIn(score).reduce<readonly [Readonly<Record<string, Slot>>, Draft]>(([found, d], name) => {
    const [from, to] = [store.columns[name], slots.columns[name]];
    if (from === undefined || to === undefined) return [found, d];
    const [column, next] = words(from, to)(d);
    return [{ ...found, [name]: column }, next];
  }, [{}, d6]);
  const woven: Site = {
    ...site,
    slots: { ...slots, keys, values, position, layout, columns, capacity, store: null },
    plan: { ...plan, keyCodec: half, valueCodec: half, store: null },
  };
  return [{ site: woven, order }, d7];
};

/** Which of the rows that are kept are whose: indices and counts of the store's, then of the tail's. */
export const unweave = ({ site, order }: Woven, store: StoreSlots, tail: Site["slots"], keep: Slot, counts: Slot) =>
(
  draft: Draft,
): readonly [readonly [storeKeep: Slot, storeCounts: Slot, tailKeep: Slot, tailCounts: Slot], Draft] => {
  const heads = site.shape.kvHeads;
  const [storeKeep, d1] = temp("keep", store.capacity * 4)(draft);
  const [storeCounts, d2] = temp("counts", heads * 4)(d1);
  const [tailKeep, d3] = temp("keep", tail.capacity * 4)(d2);
  const [tailCounts, d4] = temp("counts", heads * 4)(d3);
  const args = [keep, counts, order, site.slots.layout, store.layout, tail.layout, storeKeep, storeCounts, tailKeep, tailCounts];
  return [[storeKeep, storeCounts, tailKeep, tailCounts], emit({ op: "unweave", args, params: { heads } })(d4)];
};

const columnsIn = (score: Score): ReadonlyArray<string> => [
  ...new Set(scoresIn(score).flatMap((s) => s._tag === "Column" ? [s.name] : [])),
];
