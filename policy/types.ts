/**
 * A policy is data: blocks of (moment, layers, verbs). This file holds only the types; constructors and combinators are
 * beside it, and `plan/` gives them meaning.
 * @module
 */

import type { RowCodec } from "../cache/codec.ts";
import type { Budget, Fit, Layers, Moment, Ratio } from "./where.ts";

export type { Budget, CodecPair, Fit, Layers, Moment, Ratio } from "./where.ts";

/** Which queries an attention score looks at. */
export type QuerySet =
  /** The queries of this run (a chunk of prefill, or the decoded token). */
  | { readonly _tag: "Current" }
  /** The last `count` queries seen, across runs. */
  | { readonly _tag: "Last"; readonly count: number };

/** How a score folds an axis. */
export type Fold = "sum" | "mean" | "max";

/** Elementwise functions of one score. */
export type Unary = "neg" | "abs" | "exp" | "log" | "sqrt";

/** Elementwise functions of two scores. */
export type Binary = "add" | "sub" | "mul" | "div" | "max" | "min";

/** One number per cached row, as an expression over what may be observed. Higher stays. */
export type Score =
  | { readonly _tag: "Constant"; readonly value: number }
  /** The row's position. */
  | { readonly _tag: "Position" }
  /** Norm of the row's key or value (keys after rotation). */
  | { readonly _tag: "Norm"; readonly of: "keys" | "values"; readonly by: "l1" | "l2" }
  /** Cosine similarity of the row's key with the mean of the unit keys of its head. */
  | { readonly _tag: "KeySimilarity" }
  /** Attention probability the row received (softmax over all rows then visible), folded over queries, then over the query heads of its group. */
  | { readonly _tag: "Attention"; readonly queries: QuerySet; readonly overQueries: Fold; readonly overGroup: Fold }
  /** A remembered column; rows that have never been written hold `initial`. */
  | { readonly _tag: "Column"; readonly name: string; readonly initial: number }
  /** Pooled along positions inside a head, odd `size`; the last `dropLast` rows neither take part nor change. */
  | { readonly _tag: "Pool"; readonly by: "max" | "mean"; readonly size: number; readonly dropLast: number; readonly of: Score }
  /** Mean over the KV heads of the layer: all heads rank alike. */
  | { readonly _tag: "HeadMean"; readonly of: Score }
  | { readonly _tag: "Unary"; readonly fn: Unary; readonly of: Score }
  | { readonly _tag: "Binary"; readonly fn: Binary; readonly left: Score; readonly right: Score }
  /** Softmax over the rows of a head but the last `dropLast`, which get 0. */
  | { readonly _tag: "Softmax"; readonly dropLast: number; readonly of: Score }
  /** Attention that the next `future` queries are expected to pay, mean over the query heads of the group: queries are taken as normal, with the
   * mean and (`spread`) the variance that the last `queries` have, those at positions below `sinks` aside. */
  | {
    readonly _tag: "Expected";
    readonly queries: number;
    readonly future: number;
    readonly sinks: number;
    readonly spread: boolean;
  }
  /** The last `queries` vote: softmax, over a head's rows but the last `dropLast`, of the largest logit of the group; mean over queries. */
  | { readonly _tag: "GroupVotes"; readonly queries: number; readonly dropLast: number }
  /** Mean cosine similarity of the row's key with the other keys of its head. A row that is the newest one more alike than `above` to
   * another is not charged for that likeness; with `spares` "own" the other one is not, with "first" the first row counts as the newest one
   * of rows that have none. */
  | { readonly _tag: "Redundancy"; readonly above: number; readonly spares: "newest" | "own" | "first" }
  /** Share of attention norm, of the newest query and mean over all heads of the layer, that is lost if the row and all before it leave;
   * positions below `sinks` stay, and count (`all`) or do not (`candidates`). */
  | { readonly _tag: "TailLoss"; readonly sinks: number; readonly scope: "candidates" | "all" }
  /** What a network that the model was opened with, under this name, predicts from the hidden state of the row's token, per KV head.
   * Known for the rows of a run only: it stands alone in `Remember` by "set" or in `Admit`. */
  | { readonly _tag: "Learned"; readonly name: string }
  /** The most attention that the row gets while the model repeats its prompt (KVzip), or `plus` the most that it writes for its reader
   * (KVzip+): one more pass over the prompt, `chunk` tokens at a time, which the host carries out. `denominators`: what shares a softmax,
   * all that the reader sees (`training`), or sinks, the chunk and its repetition. `per` "head" gives every row the best of its head. Rows
   * before the text (a chat template's) are worth more than any other. It stands alone in `Remember` by "set" at the end of the prompt. */
  | {
    readonly _tag: "Reconstruction";
    readonly plus: boolean;
    readonly denominators: "training" | "inference";
    readonly chunk: number;
    readonly per: "row" | "head";
  }
  /** How much a gate that the model was opened with, under this name, wants to keep the row, 0 to 1, from its key before and after rotation,
   * per KV head. Known for the rows of a run only, like a learned score. */
  | { readonly _tag: "Gate"; readonly name: string }
  /** Class of the row's token, from the tokenizer: 1 special, 2 punctuation, 0 any other. Like a learned score it is that of a run's rows. */
  | { readonly _tag: "TokenClass" }
  /** How many queries have weighed the row, its own included; of the prompt's only the last `window` count (null: all). */
  | { readonly _tag: "QueriesSeen"; readonly window: number | null }
  /** Attention mass from the run's queries that are nearer than this share of the prompt (rounded down, at least one position), summed. */
  | { readonly _tag: "Nearby"; readonly within: Ratio; readonly overGroup: Fold }
  /** Number of the cheapest nested rule that recovers `recovery` of a head's attention: 1 special tokens, 2 and punctuation, 3 and heavy
   * hitters, 4 and the local window, 5 everything. */
  | {
    readonly _tag: "Profile";
    readonly mass: Score;
    readonly near: Score;
    readonly kind: Score;
    readonly rules: Nested;
    readonly recovery: number;
  }
  /** 1 for the rows that the head's rule keeps, else 0. */
  | { readonly _tag: "Obey"; readonly mass: Score; readonly kind: Score; readonly rule: Score; readonly rules: Nested }
  /** Spread of a row over channels on the scale of the next block of `lag` rows, mean over keys and values; `ranked`: its rank inside the
   * block, as a share. Sinks, the last block and what follows score 1. */
  | { readonly _tag: "LagSpread"; readonly sinks: number; readonly lag: number; readonly ranked: boolean }
  /** 1 for the rows that an eviction to `rows` rows per head by score `of` would keep, the last `recent` rows of a head among them; else 0. */
  | { readonly _tag: "Kept"; readonly of: Score; readonly rows: number; readonly recent: number }
  /** Infinite for the best rows of a head by `first`, as many as this share of the eviction's budget (rounded down), else `then`. */
  | { readonly _tag: "Promote"; readonly share: Ratio; readonly first: Score; readonly then: Score }
  /** Number of the row's cluster: rows that the column `into` has no number for, and that are behind those that have one and behind the first
   * `sinks` positions, are grouped by the cosine of their keys, into `count` clusters or, where that is 0, one for each `per` rows. It stands
   * alone in `Remember` by "set", into that column. */
  | {
    readonly _tag: "Clusters";
    readonly into: string;
    readonly per: number;
    readonly count: number;
    readonly sinks: number;
    readonly iterations: number;
    readonly seed: number;
  }
  /** The largest product of the group's queries with the centroid of the row's cluster, whose number is in column `of`; rows without a
   * cluster come first, the newest before the others. In `Select` only. */
  | { readonly _tag: "Centroid"; readonly of: string }
  /** What the bounds of the row's page of `page` keys promise the query that chooses rows: by "max" the largest bound of its group of query
   * heads, by "softmax" the mean over the group of the softmax over rows. `channels` is the share of channels, those with the largest |q|, that count; null is
   * all, each head by its own signs. With `within` only rows where it is above 0 take part, the others come last. In `Select` only. */
  | {
    readonly _tag: "PageBound";
    readonly page: number;
    readonly channels: Ratio | null;
    readonly by: "max" | "softmax";
    readonly within: Score | null;
  };

/** Numbers that the nested rules of FastGen share. */
export interface Nested {
  /** Heavy hitters: this share of the tokens seen so far, rounded up. */
  readonly frequent: Ratio;
  /** The local window: this share of the prompt, rounded down, at least one row. */
  readonly local: Ratio;
  /** Positions below this always stay. */
  readonly sinks: number;
}

/** Rows out of competition: they stay, and they count toward the budget. */
export interface Protect {
  /** Positions below this. */
  readonly sinks: number;
  /** The newest positions: a count, or this share of the budget that the layer has, rounded down (H2O's recent half). */
  readonly recent: number | Ratio;
}

/** Which rows pass on to codes. */
export interface Below {
  /** What a row is judged by. */
  readonly score: Score;
  /** Rows that score less pass on. */
  readonly value: number;
  /** Null: all of them. A number: one row a head at a time, the one that scores least; it leaves for good instead if it scores less than
   * this and than every row that has passed on, and where it passes on, the least of those leaves if it scores less than this. */
  readonly leave: number | null;
}

/** The six verbs and their modifiers. */
export type Verb =
  /** Names a score, for use as a column by later verbs of the same run and by reports. */
  | { readonly _tag: "Score"; readonly name: string; readonly score: Score }
  /** Writes a column that travels with its rows. */
  | {
    readonly _tag: "Remember";
    readonly name: string;
    readonly initial: number;
    readonly score: Score;
    readonly by: "set" | "sum" | "max";
  }
  /** Of the rows just appended (at `Append`) or leaving the window (at `OnExit`), only those with score >= threshold go on, and those at
   * the first `sinks` positions. The score is that of the row when it was appended. */
  | { readonly _tag: "Admit"; readonly score: Score; readonly threshold: number; readonly sinks: number }
  /** Rows beyond the budget leave for good. `across: "layer"` lets the heads of a layer compete for one total of heads x budget, `"model"`
   * those of all layers that the block touches, at the end of the prompt; `floor` is the share of the budget that every head keeps then. */
  | {
    readonly _tag: "Evict";
    readonly score: Score;
    readonly budget: Budget;
    readonly across: "head" | "layer" | "model";
    readonly floor: Ratio | null;
    readonly protect: Protect;
    /** The value of a row that leaves is folded into the row of its head with the nearest key that stays. */
    readonly merge: boolean;
  }
  /** Only the best rows are read by the current query, and those that are protected, within the budget; the cache is unchanged. */
  | { readonly _tag: "Select"; readonly score: Score; readonly budget: Budget; readonly protect: Protect }
  /** How rows are stored, by names of row codecs: all rows at the moment Build; at other moments those older than the newest `recent`
   * positions, which move to a store of their own, and of them, where `below` is given, only those that score less than its value. Where
   * `fit` is given the codecs are those that fit; the named ones are the narrowest. */
  | {
    readonly _tag: "Encode";
    readonly keys: RowCodec;
    readonly values: RowCodec;
    readonly recent: number;
    readonly below: Below | null;
    readonly fit: Fit | null;
    /** Of keys that keep a part of their channels: as many of the last queries choose which, per head, for the rows that pass on; null: each
     * row keeps its own largest. */
    readonly channels: number | null;
  }
  /** Positions become contiguous, in all layers, and every key turns by as much as its position moved. */
  | { readonly _tag: "Rerotate" }
  /** These layers keep no rows of their own and read those of layer `from`. */
  | { readonly _tag: "Share"; readonly from: number }
  /** All rows but those of the first `sinks` and of the newest `recent` positions are stored as coefficients of calibrated transforms, in a
   * `ratio`-th of 16 bits a number, and decoded to be attended to. */
  | { readonly _tag: "Transform"; readonly ratio: number; readonly sinks: number; readonly recent: number };

/** What a policy may observe. The cache itself has `keys`, `values` and `position`; the others come from the host. `rawKeys` are the keys of
 * a run before rotation. */
export type Port =
  | "hidden"
  | "queries"
  | "keys"
  | "rawKeys"
  | "values"
  | "attention"
  | "position"
  | "outputWeight"
  | "tokenClass"
  | "reconstruction";

/** When, where, what. */
export interface Block {
  /** When. */
  readonly moment: Moment;
  /** Where. */
  readonly layers: Layers;
  /** What, in order. */
  readonly verbs: ReadonlyArray<Verb>;
}

/** A policy: blocks act in order. The empty list is `keepAll`, the neutral element of `and`. `text` is the short form it prints as. */
export interface Policy {
  /** Tells policies from other data. */
  readonly _tag: "Policy";
  /** In the order in which they act at a moment. */
  readonly blocks: ReadonlyArray<Block>;
  /** How the short text form names it: `snapkv(rows=256)`; composed policies join with `+`. */
  readonly text: string;
}
