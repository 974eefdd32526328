/**
 * When, where and how much: moments, layers, exact shares, budgets.
 * @module
 */
import type { RowCodec } from "../cache/codec.ts";

/** When a block acts. `Append` is after every chunk of text and every decoded token, `Chunk` after the ones, `Step` after the others.
 * `OnExit` is when rows leave the window of the newest positions: each row is decided once. */
export type Moment =
  | { readonly _tag: "Build" }
  | { readonly _tag: "PrefillEnd" }
  | { readonly _tag: "Append" }
  | { readonly _tag: "Step" }
  | { readonly _tag: "Every"; readonly steps: number }
  | { readonly _tag: "OnExit"; readonly window: number }
  | { readonly _tag: "Chunk" };

/** Which layers a block touches: all, or those of [from, to), or a list. Negative numbers count from the end; a
 * range may reach past the end, so that `to: 4096` means "and all that follow". */
export type Layers =
  | { readonly _tag: "All" }
  | { readonly _tag: "Range"; readonly from: number; readonly to: number }
  | { readonly _tag: "List"; readonly layers: ReadonlyArray<number> };

/** An exact share, 0 < numerator/denominator <= 1 (a budget never goes through floating point). */
export interface Ratio {
  /** A whole number from 1 to the denominator. */
  readonly numerator: number;
  /** A whole number. */
  readonly denominator: number;
}

/** How many rows stay per KV head (of a layer). */
export type Budget =
  /** Exactly this many, or all there are. */
  | { readonly _tag: "Rows"; readonly rows: number }
  /** floor(share * prompt length), at least 1; the prompt length is fixed when the plan is made. */
  | { readonly _tag: "Share"; readonly share: Ratio }
  /** One budget per layer, in layer order. */
  | { readonly _tag: "PerLayer"; readonly budgets: ReadonlyArray<Budget> }
  /** PyramidKV: from many rows in the first layer to few in the last, `mean` on average, `window` included in it; by equal whole `steps`, or along
   * a `line` whose every layer is rounded. */
  | { readonly _tag: "Pyramid"; readonly mean: Budget; readonly window: number; readonly beta: number; readonly form: "steps" | "line" }
  /** Every row that scores at least `value`, and at least `floor` rows. */
  | { readonly _tag: "Above"; readonly value: number; readonly floor: number }
  /** As many coded rows as take the bytes of a budget of 16-bit rows. */
  | { readonly _tag: "Fitted"; readonly fit: Fit };

/** How the two halves of a row are stored. */
export interface CodecPair {
  /** How keys are stored. */
  readonly keys: RowCodec;
  /** How values are stored. */
  readonly values: RowCodec;
}

/** Rows against precision at one budget: the first of `pairs`, from wide to narrow, in which the whole prompt has room, else the last. */
export interface Fit {
  /** The budget in rows of 16-bit numbers; no threshold. */
  readonly of: Budget;
  /** Pairs to choose from, from wide to narrow. */
  readonly pairs: ReadonlyArray<CodecPair>;
  /** What a row costs: what it takes, scales and offsets included, or its nominal bits alone. */
  readonly counted: "bytes" | "nominal";
}
