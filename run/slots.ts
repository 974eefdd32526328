/**
 * Slots of a cache's memory in a program under construction.
 * @module
 */
import type { OpParams } from "../backends/ops.ts";
import { NONE, type Slot } from "../backends/program.ts";
import { codecName } from "../cache/codec.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { KvCache, Tier } from "../cache/types.ts";
import { ownerOf, type OwnLayer, slotsOf, storeTier } from "../cache/view.ts";
import { bound, emit } from "../plan/draft.ts";
import type { Draft, LayerSlots, Selected } from "../plan/types.ts";
import { tierName } from "./bind.ts";
import { tailOf } from "./resize.ts";
import { bytesIn, type Scratch } from "./scratch.ts";

/** Slots of several bound names, in order. */
export const slotsFor = (names: ReadonlyArray<string>) => (draft: Draft): readonly [ReadonlyArray<Slot>, Draft] =>
  names.reduce<readonly [ReadonlyArray<Slot>, Draft]>(([slots, d], name) => {
    const [slot, next] = bound(name)(d);
    return [[...slots, slot], next];
  }, [[], draft]);

const rowsOf = (tier: string): ReadonlyArray<string> => ["keys", "values", "position", "layout"].map((n) => `${tier}.${n}`);

/** The slots of a layer's own memory: its tail tier, its store and its ring. Those of the run's queries are absent. */
export const layerSlots = (index: number, own: OwnLayer) => (draft: Draft): readonly [LayerSlots, Draft] => {
  const tail = tailOf(own);
  const columns = Object.keys(tail?.storage.columns ?? {});
  const rows = rowsOf(`L${index}`);
  const ring = own.recent === null ? [] : ["queries", "lse", "position"].map((n) => `L${index}.recent.${n}`);
  const old = storeTier(own);
  const kept = Object.keys(old?.storage.columns ?? {});
  const storeName = tierName(index, own.tiers.length - 2, own.tiers.length);
  const store = old === null ? [] : [...rowsOf(storeName), ...kept.map((c) => `${storeName}.column.${c}`)];
  const bounds = tail === null || tail.storage.pages === null ? [] : [`L${index}.bounds`];
  const [found, next] = slotsFor(["newest", ...rows, ...ring, ...columns.map((c) => `L${index}.column.${c}`), ...store, ...bounds])(draft);
  const behind = 5 + ring.length + columns.length;
  const at = (i: number): Slot => found[i] ?? NONE;
  return [{
    queries: NONE,
    lse: NONE,
    queryPosition: NONE,
    hidden: NONE,
    tokenClass: NONE,
    newest: at(0),
    keys: at(1),
    values: at(2),
    position: at(3),
    layout: at(4),
    columns: Object.fromEntries(columns.map((c, i) => [c, at(5 + ring.length + i)])),
    store: old === null ? null : {
      keys: at(behind),
      values: at(behind + 1),
      position: at(behind + 2),
      layout: at(behind + 3),
      columns: Object.fromEntries(kept.map((c, i) => [c, at(behind + 4 + i)])),
      capacity: slotsOf(old.segments),
    },
    bounds: bounds.length === 0 ? NONE : at(behind + store.length),
    capacity: slotsOf(tail?.segments ?? []),
    recent: own.recent === null ? null : { queries: at(5), lse: at(6), position: at(7) },
  }, next];
};

/** Name of the run's token classes for layers with so many KV heads. */
export const className = (kvHeads: number): string => `tokenClass.${kvHeads}`;

/** What is bound under these names: f32 [M, kvHeads] for every number of heads that some layer has. */
export const classScratch = (layers: ReadonlyArray<LayerShape>, classes: ReadonlyArray<number>): ReadonlyArray<Scratch> =>
  [...new Set(layers.map(({ kvHeads }) => kvHeads))].map((heads) => ({
    label: className(heads),
    content: bytesIn(Float32Array.from(classes.flatMap((c) => Array<number>(heads).fill(c)))),
  }));

/** Queries of a run and where their attention goes. */
export interface QuerySlots {
  readonly queries: Slot;
  readonly position: Slot;
  readonly out: Slot;
  readonly lse: Slot;
  readonly m: number;
}

/** Attention over every tier of the rows that layer `index` reads, merged; of the tail, where a policy has chosen, over these rows only. */
export const attendLayer =
  (cache: KvCache, index: number, q: QuerySlots, chosen: Selected | null = null): (draft: Draft) => Draft => (draft) => {
    const [shape, owner] = [cache.layers[index]?.shape, ownerOf(cache, index)];
    if (shape === undefined || owner === null) return draft;
    const { tiers } = owner.own;
    return tiers.reduce((d, tier, i) => {
      const name = tierName(owner.index, i, tiers.length);
      const [rows, next] = slotsFor(rowsOf(name))(d);
      const args = [q.queries, ...rows, q.position, q.out, q.lse];
      const params = attendParams(shape, tier, q.m, i > 0);
      if (chosen === null || i < tiers.length - 1) return emit({ op: "attend", args, params })(next);
      return emit({ op: "attendRows", args: [...args, chosen.keep, chosen.counts], params })(next);
    }, draft);
  };

/** Parameters of attention over one tier by the `m` queries of a run. */
export const attendParams = (
  shape: LayerShape,
  tier: Pick<Tier, "keyCodec" | "valueCodec">,
  m: number,
  merge: boolean,
): OpParams["attend"] => ({
  m,
  heads: shape.queryHeads,
  kvHeads: shape.kvHeads,
  keyDim: shape.keyDim,
  valueDim: shape.valueDim,
  keyCodec: codecName(tier.keyCodec),
  valueCodec: codecName(tier.valueCodec),
  scale: shape.scale,
  window: shape.window,
  softcap: 0,
  merge,
});
