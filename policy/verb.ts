/**
 * Verbs: what a block does. Those that weigh rows take their score last.
 *
 * ```ts
 * import { pipe } from "fp-ts/function.js";
 * import { assertEquals } from "@std/assert";
 * import { rows } from "./budget.ts";
 * import { position } from "./score.ts";
 * const recent = pipe(position, evict({ budget: rows(64), protect: { sinks: 4, recent: 0 } }));
 * assertEquals(recent._tag === "Evict" && [recent.across, recent.floor], ["head", null]);
 * ```
 * @module
 */
import type { RowCodec } from "../cache/codec.ts";
import type { Budget, CodecPair, Fit, Protect, Ratio, Score, Verb } from "./types.ts";

/** No row is out of competition. */
export const unprotected: Protect = { sinks: 0, recent: 0 };

/** Names a score for later verbs of the same block (as a column) and for reports. */
export const scoreAs = (name: string): (score: Score) => Verb => (score) => ({ _tag: "Score", name, score });

/** Writes a column that travels with its rows: replaced, summed or maximised at every visit. Rows never visited hold `initial`, or 0. */
export const remember = (options: {
  readonly name: string;
  readonly by: "set" | "sum" | "max";
  readonly initial?: number;
}): (score: Score) => Verb =>
(score) => ({ _tag: "Remember", name: options.name, initial: options.initial ?? 0, score, by: options.by });

/** Of the rows just appended, or leaving the window, only those with score >= threshold go on, and the first `sinks` positions. */
export const admit = (threshold: number, sinks = 0): (score: Score) => Verb => (score) => ({ _tag: "Admit", score, threshold, sinks });

/** Rows beyond the budget leave for good. `across: "layer"` lets the heads of a layer compete for one total, `"model"` those
 * of all layers; every head keeps the share `floor` of the budget then. `merge`: values of leavers are folded into their nearest survivors. */
export const evict = (options: {
  readonly budget: Budget;
  readonly across?: "head" | "layer" | "model";
  readonly floor?: Ratio | null;
  readonly protect?: Protect;
  readonly merge?: boolean;
}): (score: Score) => Verb =>
(score) => ({
  _tag: "Evict",
  score,
  budget: options.budget,
  across: options.across ?? "head",
  floor: options.floor ?? null,
  protect: options.protect ?? unprotected,
  merge: options.merge ?? false,
});

/** Only the best rows are read by the current query; the cache is unchanged. */
export const select = (budget: Budget, protect: Protect = unprotected): (score: Score) => Verb => (score) => ({
  _tag: "Select",
  score,
  budget,
  protect,
});

/** How rows are stored: all of them (at the moment `build`), or those that are older than the newest `recent` positions.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(encode("q8", "q4", 64)._tag, "Encode");
 * ```
 */
export const encode = (keys: RowCodec, values: RowCodec, recent = 0): Verb => encodeAs({ keys, values }, recent);

/** Of the rows older than the newest `recent` positions those below `value` pass on to these codes; with `leave`, one row a head at a time,
 * and the least of all leaves for good where it is below that (DiffKV, arXiv 2412.03131, algorithm 1 as its code has it). */
export const encodeBelow = (
  pair: CodecPair,
  options: { readonly value: number; readonly recent: number; readonly leave?: number | null },
): (score: Score) => Verb =>
(score) => ({
  ...encodeAs(pair, options.recent),
  below: { score, value: options.value, leave: options.leave ?? null },
});

/** Older rows pass on to the codes that fit a budget, or stay as they are where 16 bits do. */
export const encodeToFit = (fit: Fit, recent: number): Verb => ({ ...encodeAs(fit.pairs[fit.pairs.length - 1] ?? halves, recent), fit });

/** Of the keys of rows older than the newest `recent` positions only the channels stay that `queries`, the last ones, and the keys make most of;
 * values as f16 (ThinK, arXiv 2407.21018). */
export const encodeChannels = (
  keys: Extract<RowCodec, `f16k${number}`>,
  options: { readonly queries: number; readonly recent: number },
): Verb => ({
  ...encodeAs({ keys, values: "f16" }, options.recent),
  channels: options.queries,
});

const halves: CodecPair = { keys: "f16", values: "f16" };

const encodeAs = ({ keys, values }: CodecPair, recent: number) => ({
  _tag: "Encode" as const,
  keys,
  values,
  recent,
  below: null,
  fit: null,
  channels: null,
});

/** Positions become contiguous, and keys turn accordingly: what is left is read as if nothing had been between. */
export const closeGaps: Verb = { _tag: "Rerotate" };

/** These layers keep no rows of their own and read those of layer `from`. */
export const readFrom = (from: number): Verb => ({ _tag: "Share", from });

/** Rows are stored as coefficients of calibrated transforms, but for the first `sinks` and the newest `recent` positions; at the end of a
 * prompt. */
export const transform = (ratio: number, sinks: number, recent: number): Verb => ({ _tag: "Transform", ratio, sinks, recent });
