/**
 * Scores that look at queries, as ops: those of the run, or the last ones in the ring.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import { keptChannels } from "../cache/channels.ts";
import type { Codec } from "../cache/types.ts";
import type { QuerySet, Score } from "../policy/types.ts";
import { bound, emit, temp } from "./draft.ts";
import { shareOf } from "./resolve.ts";
import { turnsName } from "./turns.ts";
import { rowCodec, type Site } from "./site.ts";
import type { Draft } from "./types.ts";

/** Queries in a draft: f32 [count, Hq, keyDim], u32 [count], f32 [count, Hq]. */
interface Queries {
  readonly count: number;
  readonly q: Slot;
  readonly position: Slot;
  readonly lse: Slot;
}

/** The queries of a set. A decoding step's own query is the last one. */
const queriesIn = ({ shape, plan, slots, m }: Site, queries: QuerySet) => (draft: Draft): readonly [Queries, Draft] => {
  if (queries._tag === "Current" || slots.recent === null || (queries.count === 1 && m === 1)) {
    return [{ count: m, q: slots.queries, position: slots.queryPosition, lse: slots.lse }, draft];
  }
  const widths = [shape.queryHeads * shape.keyDim, 1, shape.queryHeads];
  const ring = [slots.recent.queries, slots.recent.position, slots.recent.lse];
  const [[q = NONE, position = NONE, lse = NONE], ready] = lastOf(ring, widths, plan.recentQueries, queries.count)(draft);
  return [{ count: queries.count, q, position, lse }, ready];
};

/** Attention mass into the column `out`. */
export const attention =
  (site: Site, score: Extract<Score, { readonly _tag: "Attention" }>, out: Slot, accumulate: boolean) => (draft: Draft): Draft => {
    const { shape, plan, slots } = site;
    const [{ count, q, position, lse }, ready] = queriesIn(site, score.queries)(draft);
    const params = {
      queries: count,
      heads: shape.queryHeads,
      kvHeads: shape.kvHeads,
      keyDim: shape.keyDim,
      keyCodec: rowCodec(plan.keyCodec),
      scale: shape.scale,
      window: shape.window,
      softcap: 0,
      overQueries: score.overQueries,
      overGroup: score.overGroup,
      accumulate,
    };
    const args = [q, slots.keys, slots.position, slots.layout, position, lse, out, NONE, NONE];
    return emit({ op: "attendReduce", args, params })(ready);
  };

/** Attention mass of the run's queries within a share of the prompt. */
export const nearby = (
  site: Site,
  { within, overGroup }: Extract<Score, { readonly _tag: "Nearby" }>,
  out: Slot,
): (draft: Draft) => Draft => {
  const reach = Math.max(1, shareOf(within, site.promptTokens));
  const window = site.shape.window === 0 ? reach : Math.min(reach, site.shape.window);
  const score = { _tag: "Attention", queries: { _tag: "Current" }, overQueries: "sum", overGroup } as const;
  return attention({ ...site, shape: { ...site.shape, window } }, score, out, false);
};

/** How many queries have weighed each row. */
export const queriesSeen = (
  { slots, shape, promptTokens: prompt }: Site,
  { window }: Extract<Score, { readonly _tag: "QueriesSeen" }>,
  out: Slot,
): (draft: Draft) => Draft =>
  emit({
    op: "queriesSeen",
    args: [slots.position, slots.layout, slots.newest, out],
    params: { heads: shape.kvHeads, prompt, window: window ?? 0xFFFFFFFF },
  });

/** Votes of the last queries. */
export const groupVotes = (site: Site, score: Extract<Score, { readonly _tag: "GroupVotes" }>, out: Slot) => (draft: Draft): Draft => {
  const { shape, plan, slots } = site;
  const [{ count, q, position }, ready] = queriesIn(site, { _tag: "Last", count: score.queries })(draft);
  const params = {
    queries: count,
    heads: shape.queryHeads,
    kvHeads: shape.kvHeads,
    keyDim: shape.keyDim,
    keyCodec: rowCodec(plan.keyCodec),
    scale: shape.scale,
    dropLast: score.dropLast,
  };
  return emit({ op: "groupVotes", args: [q, slots.keys, slots.layout, position, out], params })(ready);
};

/** The keys of rows that leave lose the channels that the last queries and all keys make least of. */
export const dropChannels = (site: Site, count: number, store: Codec, leave: Slot, leaving: Slot) => (draft: Draft): Draft => {
  const { shape: { queryHeads: heads, kvHeads, keyDim }, plan, slots } = site;
  if (store._tag !== "Channels") return draft;
  const [{ count: queries, q, position }, ready] = queriesIn(site, { _tag: "Last", count })(draft);
  const [dropped, next] = temp("dropped channels", kvHeads * keyDim * 4)(ready);
  const params = { queries, heads, kvHeads, keyDim, keyCodec: rowCodec(plan.keyCodec), drop: keyDim - keptChannels(keyDim, store.percent) };
  return emit({ op: "dropChannels", args: [q, position, leave, leaving, slots.layout, slots.keys, dropped], params })(next);
};

/** Attention that queries to come are expected to pay. */
export const expectedAttention = (site: Site, score: Extract<Score, { readonly _tag: "Expected" }>, out: Slot) => (draft: Draft): Draft => {
  const { shape: { queryHeads: heads, kvHeads, keyDim, rope, scale }, plan, slots } = site;
  const [{ count, q, position }, ready] = queriesIn(site, { _tag: "Last", count: score.queries })(draft);
  const [table, d1] = bound(turnsName(rope, score))(ready);
  const [logits, d2] = temp("logits", slots.capacity * 4)(d1);
  const { sinks, spread } = score;
  const params = { queries: count, heads, kvHeads, keyDim, keyCodec: rowCodec(plan.keyCodec), dims: rope.dims, scale, sinks, spread };
  return emit({ op: "expectedAttention", args: [q, position, slots.keys, slots.layout, table, out, logits], params })(d2);
};

/** Attention norm of the newest query that is lost with a row and all before it. */
export const tailLoss = (site: Site, score: Extract<Score, { readonly _tag: "TailLoss" }>, out: Slot) => (draft: Draft): Draft => {
  const { shape, plan, slots } = site;
  const [{ q, position, lse }, ready] = queriesIn(site, { _tag: "Last", count: 1 })(draft);
  const params = {
    heads: shape.queryHeads,
    kvHeads: shape.kvHeads,
    keyDim: shape.keyDim,
    keyCodec: rowCodec(plan.keyCodec),
    scale: shape.scale,
    window: shape.window,
    sinks: score.sinks,
    scope: score.scope,
  };
  return emit({ op: "tailLoss", args: [q, slots.keys, slots.position, slots.layout, position, lse, out], params })(ready);
};

/** The last `count` entries of a ring that holds `window`: the ring itself where that is all of it. */
const lastOf =
  (ring: ReadonlyArray<Slot>, widths: ReadonlyArray<number>, window: number, count: number) =>
  (draft: Draft): readonly [ReadonlyArray<Slot>, Draft] => {
    if (count >= window) return [ring, draft];
    return ring.reduce<readonly [ReadonlyArray<Slot>, Draft]>(([slots, d], from, i) => {
      const width = widths[i] ?? 1;
      const [out, d1] = temp("window", count * width * 4)(d);
      const params = { from: window - count, rows: count, width };
      return [[...slots, out], emit({ op: "slice", args: [from, out], params })(d1)];
    }, [[], draft]);
  };
