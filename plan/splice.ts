/**
 * Verbs as ops: the part of a program that scores, remembers and evicts in one layer at one point.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import type { Score } from "../policy/types.ts";
import type { PlannedBlock, PlannedVerb } from "./blocks.ts";
import { emit, temp } from "./draft.ts";
import { closeUp, pass, shut } from "./pass.ts";
import { type Lowering, lowerScore, newColumn, startLowering } from "./lower.ts";
import { attention } from "./lower_queries.ts";
import { mapOp, rowCodec, type Site } from "./site.ts";
import { cluster } from "./clusters.ts";
import { rememberLearned } from "./learned.ts";
import { limitRows } from "./resolve.ts";
import { isPredicted } from "./scores.ts";
import type { Draft, SplicePoint } from "./types.ts";
import { storeSite, unweave, weaveTiers } from "./woven.ts";

/** True if a block with this moment acts at this point. Append blocks act after chunks and after decoded tokens. */
export function actsAt(moment: PlannedBlock["moment"], point: SplicePoint): boolean {
  switch (moment._tag) {
    case "PrefillEnd":
      return point._tag === "PrefillEnd";
    case "Append":
      return point._tag !== "PrefillEnd";
    case "Chunk":
      return point._tag === "AfterChunk";
    case "Step":
      return point._tag === "AfterStep";
    case "Every":
      return point._tag === "AfterStep" && point.every.includes(moment.steps);
  }
}

/** Queries of the run at this point. */
export const queriesAt = (point: SplicePoint): number => point._tag === "AfterChunk" ? point.m : point._tag === "AfterStep" ? 1 : 0;

/** Appends the ops of these blocks that act at `point`, in order. Names of scores reach to the end of their block. */
export const spliceBlocks = (site: Site, point: SplicePoint, blocks: ReadonlyArray<PlannedBlock>): (draft: Draft) => Draft => (draft) =>
  blocks.filter((b) => actsAt(b.moment, point)).reduce(
    (state: Lowering, block) => block.verbs.reduce<Lowering>((s, verb) => spliceVerb(site, verb)(s), { ...state, named: new Map() }),
    startLowering(draft),
  ).draft;

/** What one verb does, after those before it. */
export const spliceVerb = (site: Site, verb: PlannedVerb) => (state: Lowering): Lowering => {
  switch (verb._tag) {
    case "Score": {
      const [slot, next] = snapshot(site, verb.score)(state);
      return { ...next, named: new Map([...next.named, [verb.name, slot]]) };
    }
    case "Remember":
      return remember(site, verb)(state);
    case "Evict":
      return evict(site, verb)(state);
    case "Encode":
      return pass(site, verb)(state);
    case "Select":
      return state;
  }
};

type Remember = Extract<PlannedVerb, { readonly _tag: "Remember" }>;
type Evict = Extract<PlannedVerb, { readonly _tag: "Evict" }>;
/** A planned selection. */
export type Select = Extract<PlannedVerb, { readonly _tag: "Select" }>;

/** A score under a name keeps its value when a column it was read from is written later. */
const snapshot = (site: Site, score: Score) => (state: Lowering): readonly [Slot, Lowering] => {
  const [slot, next] = lowerScore(site, score)(state);
  if (score._tag !== "Column") return [slot, next];
  const [copy, draft] = newColumn(site, "named")(next.draft);
  return [copy, { ...next, draft: mapOp(site, "copy", slot, NONE, copy)(draft) }];
};

/** Sums of attention accumulate straight into the column; anything else is computed apart and folded in. */
const remember = (site: Site, { name, score, by }: Remember) => (state: Lowering): Lowering => {
  const target = site.slots.columns[name];
  if (target === undefined) return state;
  if (score._tag === "Attention" && by === "sum") {
    const summed = attention(site, score, target, true)(state.draft);
    const [stored, column] = [storeSite(site), site.slots.store?.columns[name]];
    return forget(name)({
      ...state,
      draft: stored === null || column === undefined ? summed : attention(stored, score, column, true)(summed),
    });
  }
  if (score._tag === "Clusters") return forget(name)({ ...state, draft: cluster(site, score, target)(state.draft) });
  if (score._tag === "TokenClass") {
    const args = [site.slots.tokenClass, site.slots.position, site.slots.layout, site.slots.newest, target];
    return forget(name)({ ...state, draft: emit({ op: "perToken", args, params: { m: site.m, heads: site.shape.kvHeads } })(state.draft) });
  }
  // What the host found by reading the prompt again lies in the column already.
  if (score._tag === "Reconstruction") return forget(name)(state);
  if (isPredicted(score)) {
    const known = JSON.stringify([name, score]);
    if (state.memo.has(known)) return state;
    const memo = new Map([...forget(name)(state).memo, [known, { slot: target, reads: [] }]]);
    return { ...state, memo, draft: rememberLearned(site, score.name, target)(state.draft) };
  }
  const [slot, next] = lowerScore(site, score)(state);
  const fold = by === "set" ? mapOp(site, "copy", slot, NONE, target) : mapOp(site, by === "sum" ? "add" : "max", target, slot, target);
  return forget(name)({ ...next, draft: fold(next.draft) });
};

/** Scores that read a column are out of date once it is written. */
const forget = (name: string) => (state: Lowering): Lowering => ({
  ...state,
  memo: new Map([...state.memo].filter(([, { reads }]) => !reads.includes(name))),
});

/** Rank or cut, then close up keys, values, positions and every column in place: where a threshold alone decides, from the first row
 * that goes, which in a text that grows is near its end. */
const evict = (site: Site, verb: Evict) => (state: Lowering): Lowering => {
  const stored = verb.over === "all" ? storeSite(site) : null;
  return stored === null ? evictTail(site, verb)(state) : evictAll(site, stored, verb)(state);
};

/** The rows of the store and of the tail compete as one list; both close up. */
const evictAll = (site: Site, stored: Site, verb: Evict) => (state: Lowering): Lowering => {
  const { slots, shape: { kvHeads: heads } } = site;
  if (slots.store === null) return state;
  const budget = limitRows(verb.limit);
  const [woven, d1] = weaveTiers(site, slots.store, verb.score)(state.draft);
  const [score, { draft: scored }] = lowerScore({ ...woven.site, budget }, verb.score)(startLowering(d1));
  const [keep, d2] = temp("keep", woven.site.slots.capacity * 4)(scored);
  const [counts, d3] = temp("counts", heads * 4)(d2);
  const chosen = choose(woven.site, verb, score, woven.site.slots.layout, keep, counts)(d3);
  const [[storeKeep, storeCounts, tailKeep, tailCounts], apart] = unweave(woven, slots.store, slots, keep, counts)(chosen);
  const draft = shut(site, state.named, tailKeep, tailCounts)(shut(stored, new Map(), storeKeep, storeCounts)(apart));
  return { draft, memo: new Map(), named: state.named };
};

const evictTail = (site: Site, verb: Evict) => (state: Lowering): Lowering => {
  const { slots, shape: { kvHeads: heads } } = site;
  const budget = limitRows(verb.limit);
  const [score, scored] = lowerScore({ ...site, budget }, verb.score)(state);
  const [keep, d1] = temp("keep", slots.capacity * 4)(scored.draft);
  const [counts, d2] = temp("counts", heads * 4)(d1);
  const [layout, d3] = ending(site, verb, score)(d2);
  const chosen = fold(site, verb, keep, counts)(choose(site, verb, score, layout, keep, counts)(d3));
  const closed = closeUp(site, scored.named, keep, counts, layout)(chosen);
  const draft = emit(
    layout === slots.layout
      ? { op: "truncate", args: [counts, layout], params: { heads } }
      : { op: "rejoin", args: [counts, layout, slots.layout], params: { heads } },
  )(closed);
  return { draft, memo: new Map(), named: scored.named };
};

/** The layout of the rows to choose from: all, or those from the first that a threshold without a floor removes. */
const ending =
  ({ slots, shape: { kvHeads: heads } }: Site, { limit, protect, merge }: Evict, score: Slot) => (draft: Draft): readonly [Slot, Draft] => {
    if (limit._tag !== "Above" || limit.floor > 0 || merge) return [slots.layout, draft];
    const [tail, next] = temp("tail", heads * 12)(draft);
    const params = { heads, value: limit.value, ...protect };
    return [tail, emit({ op: "leaving", args: [score, slots.position, slots.layout, slots.newest, tail], params })(next)];
  };

/** Ranks rows, or cuts at a threshold: their indices and how many. */
export const choose =
  ({ slots, shape: { kvHeads: heads } }: Site, verb: Evict | Select, score: Slot, layout: Slot, keep: Slot, counts: Slot) =>
  (
    draft: Draft,
  ): Draft => {
    const args = [score, slots.position, layout, slots.newest, keep, counts];
    const { limit, floor, protect: { sinks, recent } } = verb;
    return emit(
      limit._tag === "Above" ? { op: "threshold", args, params: { heads, value: limit.value, floor, sinks, recent } } : {
        op: "rank",
        args,
        params: { heads, mode: verb.across === "head" ? "perHead" : "pooled", count: limit.rows, floor, sinks, recent },
      },
    )(draft);
  };

/** The rows that stay close up, values of the others folded in where the verb says so, and lengths follow. */
export const closeOver = (site: Site, verb: Evict, named: Lowering["named"], keep: Slot, counts: Slot) => (draft: Draft): Draft =>
  shut(site, named, keep, counts)(fold(site, verb, keep, counts)(draft));

/** Values of the rows that leave go into their nearest survivors, before anything moves. */
const fold = ({ slots, shape, plan }: Site, { merge }: Evict, keep: Slot, counts: Slot) => (draft: Draft): Draft => {
  if (!merge) return draft;
  const [weight, next] = temp("fold weights", slots.capacity * 4)(draft);
  const codecs = { keyCodec: rowCodec(plan.keyCodec), valueCodec: rowCodec(plan.valueCodec) };
  const params = { heads: shape.kvHeads, keyDim: shape.keyDim, valueDim: shape.valueDim, ...codecs };
  return emit({ op: "foldValues", args: [slots.keys, counts, slots.layout, keep, slots.values, weight], params })(next);
};
