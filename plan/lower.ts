/**
 * Scores as ops over column temporaries. Equal subexpressions of one layer and one point are computed once.
 * @module
 */
import { NONE, type Slot } from "../backends/program.ts";
import type { Nested, Score } from "../policy/types.ts";
import { shareOf } from "./resolve.ts";
import { isPredicted, scoresIn } from "./scores.ts";
import { emit, temp } from "./draft.ts";
import { attention, expectedAttention, groupVotes, nearby, queriesSeen, tailLoss } from "./lower_queries.ts";
import { lagSpread, redundancy, similarity } from "./lower_rows.ts";
import { centroidScore } from "./clusters.ts";
import { view } from "./lower_view.ts";
import { pageBound } from "./lower_pages.ts";
import { mapOp, rowCodec, type Site } from "./site.ts";
import type { Draft } from "./types.ts";

/** A computed score: its column and the remembered columns it read. */
interface Computed {
  readonly slot: Slot;
  readonly reads: ReadonlyArray<string>;
}

/** A draft with what is known about it: scores already computed (by their JSON), and named ones. */
export interface Lowering {
  readonly draft: Draft;
  readonly memo: ReadonlyMap<string, Computed>;
  readonly named: ReadonlyMap<string, Slot>;
}

/** Nothing lowered yet. */
export const startLowering = (draft: Draft): Lowering => ({ draft, memo: new Map(), named: new Map() });

/** A new column temporary of this layer. */
export const newColumn = (site: Site, label: string): (draft: Draft) => readonly [Slot, Draft] => temp(label, site.slots.capacity * 4);

/** Scores that are remembered before anything reads them. */
type Remembered = Extract<Score, { readonly _tag: "Learned" | "Gate" | "TokenClass" | "Clusters" | "Reconstruction" }>;

const isRemembered = (score: Score): score is Remembered =>
  isPredicted(score) || score._tag === "TokenClass" || score._tag === "Clusters" ||
  score._tag === "Reconstruction";

/** The score as a column slot. Remembered and named columns are used where they are. */
export const lowerScore = (site: Site, score: Score) => (state: Lowering): readonly [Slot, Lowering] => {
  // These never come here: they are remembered first, and read as columns.
  if (isRemembered(score)) return [NONE, state];
  if (score._tag === "Column") return [state.named.get(score.name) ?? site.slots.columns[score.name] ?? NONE, state];
  const key = JSON.stringify(score);
  const known = state.memo.get(key);
  if (known !== undefined) return [known.slot, state];
  const [slot, next] = compute(site, score)(state);
  const reads = scoresIn(score).flatMap((s) => s._tag === "Column" ? [s.name] : []);
  return [slot, { ...next, memo: new Map([...next.memo, [key, { slot, reads }]]) }];
};

const compute =
  (site: Site, score: Exclude<Score, Remembered | { readonly _tag: "Column" }>) => (state: Lowering): readonly [Slot, Lowering] => {
    const { shape, slots } = site;
    const heads = shape.kvHeads;
    switch (score._tag) {
      case "Constant":
        return column(site, "constant", (out) => mapOp(site, "fill", out, NONE, out, score.value))(state);
      case "Position":
        return column(site, "position", (out) => emit({ op: "positions", args: [slots.position, slots.layout, out], params: { heads } }))(
          state,
        );
      case "Norm":
        return column(site, `${score.of} ${score.by}`, (out) => norm(site, score.of, score.by, out))(state);
      case "KeySimilarity":
        return column(site, "similarity", (out) => similarity(site, out))(state);
      case "Attention":
        return column(site, "attention", (out) => attention(site, score, out, false))(state);
      case "Pool": {
        const [of, next] = lowerScore(site, score.of)(state);
        const { by, size, dropLast } = score;
        return column(site, "pooled", (out) => emit({ op: "pool", args: [of, slots.layout, out], params: { heads, by, size, dropLast } }))(
          next,
        );
      }
      case "HeadMean": {
        const [of, next] = lowerScore(site, score.of)(state);
        return column(site, "head mean", (out) => emit({ op: "headMean", args: [of, slots.layout, out], params: { heads } }))(next);
      }
      case "Softmax": {
        const [of, next] = lowerScore(site, score.of)(state);
        const params = { heads, dropLast: score.dropLast };
        return column(site, "softmax", (out) => emit({ op: "softmax", args: [of, slots.layout, out], params }))(next);
      }
      case "Expected":
        return column(site, "expected", (out) => expectedAttention(site, score, out))(state);
      case "GroupVotes":
        return column(site, "votes", (out) => groupVotes(site, score, out))(state);
      case "Redundancy":
        return column(site, "redundancy", (out) => redundancy(site, score, out))(state);
      case "TailLoss":
        return column(site, "tail loss", (out) => tailLoss(site, score, out))(state);
      case "Nearby":
        return column(site, "nearby", (out) => nearby(site, score, out))(state);
      case "QueriesSeen":
        return column(site, "queries seen", (out) => queriesSeen(site, score, out))(state);
      case "LagSpread":
        return column(site, "spread", (out) => lagSpread(site, score, out))(state);
      case "Profile": {
        const [[mass, near, kind], next] = lowerAll(site, [score.mass, score.near, score.kind])(state);
        const args = [mass ?? NONE, near ?? NONE, kind ?? NONE, slots.position, slots.layout, slots.newest];
        const params = { ...nestedParams(site, score.rules), recovery: score.recovery };
        return column(site, "rule", (out) => emit({ op: "profile", args: [...args, out], params }))(next);
      }
      case "Obey": {
        const [[mass, kind, rule], next] = lowerAll(site, [score.mass, score.kind, score.rule])(state);
        const args = [mass ?? NONE, kind ?? NONE, rule ?? NONE, slots.position, slots.layout, slots.newest];
        return column(site, "kept", (out) => emit({ op: "obey", args: [...args, out], params: nestedParams(site, score.rules) }))(next);
      }
      case "Promote": {
        const [[first, then], next] = lowerAll(site, [score.first, score.then])(state);
        const args = [first ?? NONE, then ?? NONE, slots.position, slots.layout];
        const params = { heads, count: shareOf(score.share, site.budget) };
        return column(site, "promoted", (out) => emit({ op: "promote", args: [...args, out], params }))(next);
      }
      case "Kept": {
        const [of, next] = lowerScore(site, score.of)(state);
        return column(site, "view", (out) => view(site, score, of, out))(next);
      }
      case "Centroid":
        return column(site, "centroid", (out) => centroidScore(site, score.of, out))(state);
      case "PageBound": {
        const [[within], next] = lowerAll(site, score.within === null ? [] : [score.within])(state);
        return column(site, "page bound", (out) => pageBound(site, score, within ?? NONE, out))(next);
      }
      case "Unary": {
        const [of, next] = lowerScore(site, score.of)(state);
        return column(site, score.fn, (out) => mapOp(site, score.fn, of, NONE, out))(next);
      }
      case "Binary": {
        const [left, s1] = lowerScore(site, score.left)(state);
        const [right, s2] = lowerScore(site, score.right)(s1);
        return column(site, score.fn, (out) => mapOp(site, score.fn, left, right, out))(s2);
      }
    }
  };

/** Several scores, one after the other. */
const lowerAll = (site: Site, scores: ReadonlyArray<Score>) => (state: Lowering): readonly [ReadonlyArray<Slot>, Lowering] =>
  scores.reduce<readonly [ReadonlyArray<Slot>, Lowering]>(([slots, s], score) => {
    const [slot, next] = lowerScore(site, score)(s);
    return [[...slots, slot], next];
  }, [[], state]);

const nestedParams = ({ shape, promptTokens }: Site, { frequent, local, sinks }: Nested) => ({
  heads: shape.kvHeads,
  ...frequent,
  window: Math.max(1, shareOf(local, promptTokens)),
  sinks,
});

const column =
  (site: Site, label: string, fill: (out: Slot) => (draft: Draft) => Draft) => (state: Lowering): readonly [Slot, Lowering] => {
    const [out, draft] = newColumn(site, label)(state.draft);
    return [out, { ...state, draft: fill(out)(draft) }];
  };

const norm = ({ shape, plan, slots }: Site, of: "keys" | "values", by: "l1" | "l2", out: Slot): (draft: Draft) => Draft =>
  emit(
    of === "keys"
      ? {
        op: "reduce",
        args: [slots.keys, slots.layout, out],
        params: { heads: shape.kvHeads, dim: shape.keyDim, codec: rowCodec(plan.keyCodec), by },
      }
      : {
        op: "reduce",
        args: [slots.values, slots.layout, out],
        params: { heads: shape.kvHeads, dim: shape.valueDim, codec: rowCodec(plan.valueCodec), by },
      },
  );
