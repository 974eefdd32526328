/**
 * Scores that compare the rows of a head with each other, as ops.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import type { Score } from "../policy/types.ts";
import { emit, temp } from "./draft.ts";
import { mapOp, rowCodec, type Site } from "./site.ts";
import type { Draft } from "./types.ts";

const keyRows = ({ shape, plan }: Site) => ({ heads: shape.kvHeads, dim: shape.keyDim, codec: rowCodec(plan.keyCodec) });

/** The mean unit key of each head. */
const meanUnitKey = (site: Site) => (draft: Draft): readonly [Slot, Draft] => {
  const [anchor, d1] = temp("anchor", site.shape.kvHeads * site.shape.keyDim * 4)(draft);
  return [anchor, emit({ op: "meanUnit", args: [site.slots.keys, site.slots.layout, anchor], params: keyRows(site) })(d1)];
};

/** Cosine with the mean unit key. */
export const similarity = (site: Site, out: Slot) => (draft: Draft): Draft => {
  const [anchor, ready] = meanUnitKey(site)(draft);
  return emit({ op: "similarity", args: [site.slots.keys, anchor, site.slots.layout, out], params: keyRows(site) })(ready);
};

/** Mean cosine with the other keys, likenesses spared. */
export const redundancy =
  (site: Site, { above, spares }: Extract<Score, { readonly _tag: "Redundancy" }>, out: Slot) => (draft: Draft): Draft => {
    const { slots: { keys, layout, capacity } } = site;
    const params = keyRows(site);
    const [anchor, d1] = meanUnitKey(site)(draft);
    const [norms, d2] = temp("key norms", capacity * 4)(d1);
    const [like, d3] = temp("newest alike", capacity * 4)(d2);
    const d4 = emit({ op: "reduce", args: [keys, layout, norms], params: { ...params, by: "l2" } })(d3);
    const d5 = emit({ op: "newestLike", args: [keys, norms, layout, like], params: { ...params, above } })(d4);
    return emit({ op: "redundancy", args: [keys, norms, anchor, like, layout, out], params: { ...params, spares } })(d5);
  };

/** Spread on the scale of the next block, mean over keys and values, or its rank in the block. */
export const lagSpread =
  (site: Site, { sinks, lag, ranked }: Extract<Score, { readonly _tag: "LagSpread" }>, out: Slot) => (draft: Draft): Draft => {
    const { shape, plan, slots: { keys, values, layout, capacity } } = site;
    const heads = shape.kvHeads;
    const [other, d1] = temp("spread of values", capacity * 4)(draft);
    const sizes = { heads, sinks, lag };
    const d2 = emit({ op: "lagSpread", args: [keys, layout, out], params: { ...keyRows(site), sinks, lag } })(d1);
    const ofValues = { ...sizes, dim: shape.valueDim, codec: rowCodec(plan.valueCodec) };
    const d3 = emit({ op: "lagSpread", args: [values, layout, other], params: ofValues })(d2);
    const d4 = mapOp(site, "add", out, other, out)(d3);
    if (!ranked) return mapOp(site, "scale", out, NONE, out, 0.5)(d4);
    const d5 = mapOp(site, "scale", out, NONE, other, 0.5)(d4);
    return emit({ op: "blockRank", args: [other, layout, out], params: sizes })(d5);
  };
