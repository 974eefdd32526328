/**
 * Scores: one number per cached row, built from what may be observed. Higher stays. Combinators take the score last.
 *
 * ```ts
 * import { pipe } from "fp-ts/function.js";
 * import { assertEquals } from "@std/assert";
 * const knorm = pipe(norm("keys", "l2"), neg);
 * assertEquals(knorm, { _tag: "Unary", fn: "neg", of: { _tag: "Norm", of: "keys", by: "l2" } });
 * ```
 * @module
 */
import { lowest } from "./budget.ts";
import type { Binary, Fold, Nested, QuerySet, Ratio, Score, Unary, Verb } from "./types.ts";

/** The same number for every row. */
export const constant = (value: number): Score => ({ _tag: "Constant", value });

/** The row's position: the newest rows score highest. */
export const position: Score = { _tag: "Position" };

/** Norm of each key (after rotation) or value. */
export const norm = (of: "keys" | "values", by: "l1" | "l2"): Score => ({ _tag: "Norm", of, by });

/** Cosine similarity of each key with the mean of the unit keys of its head (KeyDiff, arXiv 2504.15364). */
export const keySimilarity: Score = { _tag: "KeySimilarity" };

/** The queries of this run: a chunk of prefill, or the decoded token. */
export const currentQueries: QuerySet = { _tag: "Current" };

/** The last `count` queries seen, across runs. */
export const lastQueries = (count: number): QuerySet => ({ _tag: "Last", count });

/** Attention probability each row received, folded over queries, then over the query heads of a KV head's group. */
export const attention = (queries: QuerySet, overQueries: Fold, overGroup: Fold): Score => ({
  _tag: "Attention",
  queries,
  overQueries,
  overGroup,
});

/** A remembered column, or a score named earlier in the same block; rows never written hold `initial`. */
export const column = (name: string, initial = 0): Score => ({ _tag: "Column", name, initial });

/** What the network of this name predicts for the rows of a run, from their hidden states. */
export const learned = (name: string): Score => ({ _tag: "Learned", name });

/** The most attention a row gets while the model repeats its prompt (KVzip, arXiv 2505.23416; `plus`: KVzip+, arXiv 2601.07891). */
export const reconstruction = (of: Omit<Extract<Score, { readonly _tag: "Reconstruction" }>, "_tag">): Score => ({
  _tag: "Reconstruction",
  ...of,
});
/** How much the gate of this name wants to keep the rows of a run, 0 to 1, from their keys before and after rotation. */
export const gate = (name: string): Score => ({ _tag: "Gate", name });

/** Pools along positions inside a head over an odd `size`; the last `dropLast` rows neither take part nor change. */
export const pool =
  (options: { readonly by: "max" | "mean"; readonly size: number; readonly dropLast: number }): (of: Score) => Score => (of) => ({
    _tag: "Pool",
    by: options.by,
    size: options.size,
    dropLast: options.dropLast,
    of,
  });

/** Mean over the KV heads of the layer, so that all heads rank alike. */
export const headMean = (of: Score): Score => ({ _tag: "HeadMean", of });

/** Softmax over the rows of a head but the last `dropLast`, which get 0. */
export const softmax = (dropLast: number): (of: Score) => Score => (of) => ({ _tag: "Softmax", dropLast, of });

/** Votes of the last `queries`: softmax, over a head's rows but the last `dropLast`, of the largest logit in the group of query heads;
 * mean over queries (R-KV, arXiv 2505.24133, equations 2 and 3). */
export const groupVotes = (queries: number, dropLast: number): Score => ({ _tag: "GroupVotes", queries, dropLast });

/** Attention that later queries are expected to pay (Expected Attention, arXiv 2510.00636). */
export const expected = ({ queries, future, sinks, spread }: Omit<Extract<Score, { readonly _tag: "Expected" }>, "_tag">): Score => ({
  _tag: "Expected",
  queries,
  future,
  sinks,
  spread,
});

/** Mean cosine similarity of each key with the others of its head; what a row has in common with its newest likeness, one with a cosine
 * larger than `above`, is not held against that one (R-KV, arXiv 2505.24133, section 3.3 as its code has it), or not against itself (`own`,
 * equation 6 as printed). */
export const redundancy = (above: number, spares: Extract<Score, { readonly _tag: "Redundancy" }>["spares"] = "newest"): Score => ({
  _tag: "Redundancy",
  above,
  spares,
});

/** Share of attention norm that is lost if the row and all before it but the sinks leave, by the newest query, mean over the layer's
 * query heads (DBudgetKV, arXiv 2502.16886, equation 3). */
export const tailLoss = (sinks: number, scope: "candidates" | "all"): Score => ({ _tag: "TailLoss", sinks, scope });

/** The class of each row's token: 1 special, 2 punctuation, 0 any other. It is remembered by "set" when rows are appended. */
export const tokenClass: Score = { _tag: "TokenClass" };

/** Attention mass from those queries of this run that are nearer than this share of the prompt, summed over queries. */
export const nearby = (within: Ratio, overGroup: Fold): Score => ({ _tag: "Nearby", within, overGroup });

/** Number of the cheapest nested rule that recovers this share of a head's attention (FastGen, arXiv 2310.01801, equation 1). */
export const profile = (of: {
  readonly mass: Score;
  readonly near: Score;
  readonly kind: Score;
  readonly rules: Nested;
  readonly recovery: number;
}): Score => ({ _tag: "Profile", ...of });

/** 1 for the rows that the head's rule keeps, else 0 (FastGen, arXiv 2310.01801, algorithm 2). */
export const obey = (of: { readonly mass: Score; readonly kind: Score; readonly rule: Score; readonly rules: Nested }): Score => ({
  _tag: "Obey",
  ...of,
});

/** Spread over channels on the scale of the next `lag` rows, mean over keys and values; or its rank in its block
 * (LagKV, arXiv 2504.04704, equations 1 to 4). */
export const lagSpread = (sinks: number, lag: number, ranked: boolean): Score => ({ _tag: "LagSpread", sinks, lag, ranked });

/** A share of the eviction's budget goes to the best rows by `first`; `then` decides about the others. */
export const promote = (first: Score, of: Ratio): (then: Score) => Score => (then) => ({ _tag: "Promote", share: lowest(of), first, then });

/** 1 for the best `rows` rows of each head, the last `recent` among them, else 0: a view of rows that all stay. */
export const kept = (rows: number, recent: number): (of: Score) => Score => (of) => ({ _tag: "Kept", of, rows, recent });

/** The score that a verb judges rows by, or null. */
export const judgedBy = (verb: Verb): Score | null =>
  "score" in verb ? verb.score : verb._tag === "Encode" && verb.below !== null ? verb.below.score : null;

/** Scores directly inside a score. */
export function inside(score: Score): ReadonlyArray<Score> {
  switch (score._tag) {
    case "Pool":
    case "HeadMean":
    case "Unary":
    case "Softmax":
    case "Kept":
      return [score.of];
    case "Binary":
      return [score.left, score.right];
    case "Profile":
      return [score.mass, score.near, score.kind];
    case "Obey":
      return [score.mass, score.kind, score.rule];
    case "Promote":
      return [score.first, score.then];
    case "PageBound":
      return score.within === null ? [] : [score.within];
    default:
      return [];
  }
}

/** Numbers of clusters of rows with keys of like direction (ClusterKV, arXiv 2412.03213, section III). `remember` it into the column. */
export const clusters = (
  { into, per, count, sinks, iterations, seed }: Omit<Extract<Score, { readonly _tag: "Clusters" }>, "_tag">,
): Score => ({ _tag: "Clusters", into, per, count, sinks, iterations, seed });

/** What the centroid of a row's cluster promises the query. In `select` only. */
export const centroid = (of: string): Score => ({ _tag: "Centroid", of });

/** What the bounds of pages of `page` keys promise the query (Quest, arXiv 2406.10774, algorithm 1; with `channels`, hybrid sparse
 * attention, RocketKV, arXiv 2502.14051, section 3.4); of the rows only where `within` is above 0, if given. In `select` only. */
export const pageBound = (
  page: number,
  by: "max" | "softmax",
  { channels = null, within = null }: Readonly<{ channels?: Ratio | null; within?: Score | null }> = {},
): Score => ({ _tag: "PageBound", page, channels, by, within });

/** How many queries have weighed a row, its own included; of the prompt's only the last `window` count, all by default. */
export const queriesSeen = (window: number | null = null): Score => ({ _tag: "QueriesSeen", window });

const unary = (fn: Unary) => (of: Score): Score => ({ _tag: "Unary", fn, of });
const binary = (fn: Binary) => (right: Score) => (left: Score): Score => ({ _tag: "Binary", fn, left, right });

/** -a */
export const neg: (of: Score) => Score = unary("neg");
/** |a| */
export const abs: (of: Score) => Score = unary("abs");
/** e^a */
export const exp: (of: Score) => Score = unary("exp");
/** Natural logarithm of max(a, 1e-30). */
export const log: (of: Score) => Score = unary("log");
/** Square root of max(a, 0). */
export const sqrt: (of: Score) => Score = unary("sqrt");
/** `pipe(a, plus(b))` is a + b. */
export const plus: (right: Score) => (left: Score) => Score = binary("add");
/** `pipe(a, minus(b))` is a - b. */
export const minus: (right: Score) => (left: Score) => Score = binary("sub");
/** `pipe(a, times(b))` is a * b. */
export const times: (right: Score) => (left: Score) => Score = binary("mul");
/** `pipe(a, dividedBy(b))` is a / b. */
export const dividedBy: (right: Score) => (left: Score) => Score = binary("div");
/** The larger of the two. */
export const larger: (right: Score) => (left: Score) => Score = binary("max");
/** The smaller of the two. */
export const smaller: (right: Score) => (left: Score) => Score = binary("min");
