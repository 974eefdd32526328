/**
 * The scoring pass of KVzip as ops: while a repetition of the context is read on top of its cache, the attention that each row of the
 * context gets is folded into a column by max.
 *
 * Bound beyond the cache's memory, per layer `l`: `reconstruct.{l}.sinks` and `.chunk`, layouts that cut rows out of tier 0;
 * `.score`, f32 per slot of tier 0; for KVzip+ `.gain`, f32 [slots, group], and for all layers `reconstruct.run`, the layout of a run's
 * hidden states as rows of one head.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import { codecName } from "../cache/codec.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { KvCache, Tier } from "../cache/types.ts";
import { slotsOf } from "../cache/view.ts";
import { emit, temp } from "../plan/draft.ts";
import type { Draft, LayerSlots, PolicyPlan } from "../plan/types.ts";
import { attendParams, slotsFor } from "../run/slots.ts";

/** Which reconstruction score. */
export interface Scoring {
  /** KVzip+: attention times the norm of what the value writes, over the norm of the reader's hidden state. */
  readonly plus: boolean;
  /** Keys that share a softmax. `training`: all that a reader sees, as one chat. `inference`: sinks, the chunk being repeated and the
   * repetition itself. The two rank alike, but a threshold means something for the first only. */
  readonly denominators: "training" | "inference";
}

/** One layer of a pass. */
interface Site {
  readonly scoring: Scoring;
  readonly hidden: number;
  readonly shape: LayerShape;
  /** Rows of the context. */
  readonly context: Tier;
  readonly layer: number;
  /** Tokens of the run. */
  readonly m: number;
  readonly slots: LayerSlots;
}

/** The plan of a pass over a fork whose tier 0 is the context: `base` for storage, and after each chunk the scores. It changes no row. */
export const reconstructionPlan = (base: PolicyPlan, cache: KvCache, hidden: number, scoring: Scoring): PolicyPlan => ({
  ...quietPlan(base),
  splice: (point, layer, slots) => {
    const own = cache.layers[layer];
    const context = own?._tag === "Own" ? own.tiers[0] : undefined;
    if (point._tag !== "AfterChunk" || own === undefined || context === undefined) return (draft) => draft;
    return scoreRows({ scoring, hidden, shape: own.shape, context, layer, m: point.m, slots });
  },
  describe: `scores\n${base.describe} ${JSON.stringify(scoring)} ${
    cache.layers.map((l) => l._tag === "Own" ? slotsOf(l.tiers[0]?.segments ?? []) : 0).join(" ")
  }`,
});

/** `base` without what its policy does: storage alone. */
export const quietPlan = (base: PolicyPlan): PolicyPlan => ({
  ...base,
  evictsAt: () => false,
  rewritesAt: () => false,
  splice: () => (draft) => draft,
  describe: `quiet\n${base.describe}`,
});

/** score = max(score, attention of this run's queries, weighted for KVzip+). */
const scoreRows = (site: Site) => (draft: Draft): Draft => {
  const { layer, scoring: { plus, denominators }, context, shape, m, slots } = site;
  const own = ["sinks", "chunk", "score"].map((part) => `reconstruct.${layer}.${part}`);
  const rows = ["keys", "values", "position"].map((part) => `L${layer}.t0.${part}`);
  const [[sinks = NONE, chunk = NONE, score = NONE, keys = NONE, values = NONE, position = NONE], d1] = slotsFor([...own, ...rows])(draft);
  const [lse, d2] = denominators === "training" ? [slots.lse, d1] : ownSoftmax(site, { keys, values, position, sinks, chunk })(d1);
  const [divisor, d3] = plus ? hiddenNorms(site)(d2) : [NONE, d2];
  const [[gain = NONE], d4] = plus ? slotsFor([`reconstruct.${layer}.gain`])(d3) : [[NONE], d3];
  const [mass, d5] = temp("mass", slotsOf(context.segments) * 4)(d4);
  const { queryHeads: heads, kvHeads, keyDim, scale, window } = shape;
  const d6 = emit({
    op: "attendReduce",
    args: [slots.queries, keys, position, chunk, slots.queryPosition, lse, mass, divisor, gain],
    params: {
      queries: m,
      heads,
      kvHeads,
      keyDim,
      keyCodec: codecName(context.keyCodec),
      scale,
      window,
      softcap: 0,
      overQueries: "max",
      overGroup: "max",
      accumulate: false,
    },
  })(d5);
  const params = { fn: "max", count: slotsOf(context.segments), value: 0, heads: kvHeads } as const;
  return emit({ op: "map", args: [score, mass, chunk, score], params })(d6);
};

/** Log-sum-exps over sinks, chunk and the repetition alone. */
const ownSoftmax =
  ({ shape, context, m, slots, layer }: Site, at: Readonly<Record<"keys" | "values" | "position" | "sinks" | "chunk", Slot>>) =>
  (draft: Draft): readonly [Slot, Draft] => {
    const [out, d1] = temp(`L${layer} scored`, m * shape.queryHeads * shape.valueDim * 4)(draft);
    const [lse, d2] = temp(`L${layer} scored lse`, m * shape.queryHeads * 4)(d1);
    const own = [slots.keys, slots.values, slots.position, slots.layout];
    const parts = [[at.keys, at.values, at.position, at.sinks], [at.keys, at.values, at.position, at.chunk], own];
    const attended = parts.reduce((d: Draft, rows, i) =>
      emit({
        op: "attend",
        args: [slots.queries, ...rows, slots.queryPosition, out, lse],
        params: attendParams(shape, context, m, i > 0),
      })(d), d2);
    return [lse, attended];
  };

/** f32 [m]: norms of the hidden states that the run's queries were projected from. */
const hiddenNorms = ({ hidden: dim, m, slots }: Site) => (draft: Draft): readonly [Slot, Draft] => {
  const [[layout = NONE], d1] = slotsFor(["reconstruct.run"])(draft);
  const [norms, d2] = temp("hidden norms", m * 4)(d1);
  return [norms, emit({ op: "reduce", args: [slots.hidden, layout, norms], params: { heads: 1, dim, codec: "f32", by: "l2" } })(d2)];
};
