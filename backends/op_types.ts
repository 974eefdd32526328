/**
 * Types of the op table: parameters per op, and what a row of the table says. The table itself is in `ops.ts`, with the words
 * used here.
 * @module
 */
import type { RowCodec } from "../cache/codec.ts";
import type { WovenParams } from "./woven_types.ts";
import type { GroupOpParams } from "./group_op_types.ts";

export type { RowCodec };

/** Elementwise functions of `map`; `a`, `b` operands, `v` the parameter `value`. */
export type MapFn =
  | "add" // a + b
  | "sub" // a - b
  | "mul" // a * b
  | "div" // a / b
  | "max" // max(a, b)
  | "min" // min(a, b)
  | "neg" // -a
  | "abs" // |a|
  | "exp" // e^a
  | "log" // natural log of max(a, 1e-30)
  | "sqrt" // sqrt(max(a, 0))
  | "scale" // a * v
  | "shift" // a + v
  | "fill" // v
  | "copy" // a
  | "gelu"; // a * Phi(a), Phi the normal distribution: the exact form

/** Functions of `map` in code order. */
export const mapFns: ReadonlyArray<MapFn> = [
  "add",
  "sub",
  "mul",
  "div",
  "max",
  "min",
  "neg",
  "abs",
  "exp",
  "log",
  "sqrt",
  "scale",
  "shift",
  "fill",
  "copy",
  "gelu",
];

/** Parameters per op, all static for a prepared program. */
export interface OpParams extends WovenParams, GroupOpParams {
  /** Rows of an embedding table, times `scale`. */
  readonly embed: { readonly m: number; readonly dim: number; readonly scale: number };
  /** RMS norm of `rows` rows. */
  readonly norm: { readonly rows: number; readonly dim: number; readonly eps: number };
  /** Product with a weight, [m, k] x [n, k]. */
  readonly matmul: { readonly m: number; readonly n: number; readonly k: number; readonly accumulate: boolean };
  /** Rotary embedding in place; the first `dims` of `dim` channels turn. */
  readonly rope: { readonly m: number; readonly heads: number; readonly dim: number; readonly dims: number };
  /** Gated activation over `count` numbers. */
  readonly glu: { readonly count: number; readonly activation: "silu" | "gelu" };
  /** Elementwise function over `count` numbers, or over the rows of `heads` heads. */
  readonly map: { readonly fn: MapFn; readonly count: number; readonly value: number; readonly heads: number };
  /** Encodes `m` new rows per head. */
  readonly append: {
    readonly m: number;
    readonly heads: number;
    readonly keyDim: number;
    readonly valueDim: number;
    readonly keyCodec: RowCodec;
    readonly valueCodec: RowCodec;
  };
  /** Sets a column on the last `m` rows of each head. */
  readonly extend: { readonly m: number; readonly heads: number; readonly value: number };
  /** Attention of `m` queries over one tier. */
  readonly attend: {
    readonly m: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly keyDim: number;
    readonly valueDim: number;
    readonly keyCodec: RowCodec;
    readonly valueCodec: RowCodec;
    readonly scale: number;
    readonly window: number;
    readonly softcap: number;
    readonly merge: boolean;
  };
  /** Attention mass per row. */
  readonly attendReduce: {
    readonly queries: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly keyDim: number;
    readonly keyCodec: RowCodec;
    readonly scale: number;
    readonly window: number;
    readonly softcap: number;
    readonly overQueries: "sum" | "mean" | "max";
    readonly overGroup: "sum" | "mean" | "max";
    readonly accumulate: boolean;
  };
  /** Norms, sums, means or maxima of rows. */
  readonly reduce: {
    readonly heads: number;
    readonly dim: number;
    readonly codec: RowCodec;
    readonly by: "l1" | "l2" | "sum" | "mean" | "max";
  };
  /** Mean unit row per head. */
  readonly meanUnit: { readonly heads: number; readonly dim: number; readonly codec: RowCodec };
  /** Cosine of each row with its head's anchor. */
  readonly similarity: { readonly heads: number; readonly dim: number; readonly codec: RowCodec };
  /** Positions as a column. */
  readonly positions: { readonly heads: number };
  /** Pooling along positions inside a head. */
  readonly pool: { readonly heads: number; readonly by: "max" | "mean"; readonly size: number; readonly dropLast: number };
  /** Mean over the heads of a layer. */
  readonly headMean: { readonly heads: number };
  /** Which rows stay under a budget. */
  readonly rank: {
    readonly heads: number;
    readonly mode: "perHead" | "pooled";
    readonly count: number;
    readonly floor: number;
    readonly sinks: number;
    readonly recent: number;
  };
  /** Which rows stay under a threshold. */
  readonly threshold: {
    readonly heads: number;
    readonly value: number;
    readonly floor: number;
    readonly sinks: number;
    readonly recent: number;
  };
  /** Moves kept rows together. */
  readonly compact: { readonly heads: number; readonly rowBytes: number };
  /** Sets lengths to counts. */
  readonly truncate: { readonly heads: number };
  /** Copies rows to another layout. */
  readonly copyRows: { readonly heads: number; readonly rowBytes: number };
  /** Keeps the last `window` rows in a ring. */
  readonly slide: { readonly m: number; readonly window: number; readonly width: number };
  /** Copies `rows` rows from row `from`. */
  readonly slice: { readonly from: number; readonly rows: number; readonly width: number };
  /** Index of the largest of `n` numbers, per row. */
  readonly argmax: { readonly m: number; readonly n: number };
  /** Norm of what each row writes through each query head of its group. */
  readonly projectedNorm: { readonly heads: number; readonly kvHeads: number; readonly dim: number; readonly codec: RowCodec };
  /** Numbers of this run's tokens into a column. */
  readonly perToken: { readonly m: number; readonly heads: number };
  /** Where the rows begin that a threshold may move. */
  readonly leaving: { readonly heads: number; readonly value: number; readonly sinks: number; readonly recent: number };
  /** Sets lengths from the counts of their ends. */
  readonly rejoin: { readonly heads: number };
  /** Softmax over the rows of a head. */
  readonly softmax: { readonly heads: number; readonly dropLast: number };
  /** Votes of recent queries for older rows. */
  readonly groupVotes: {
    readonly queries: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly keyDim: number;
    readonly keyCodec: RowCodec;
    readonly scale: number;
    readonly dropLast: number;
  };
  /** The newest other row of similar direction. */
  readonly newestLike: { readonly heads: number; readonly dim: number; readonly codec: RowCodec; readonly above: number };
  /** Mean similarity with the other rows. */
  readonly redundancy: OpParams["meanUnit"] & { readonly spares: "newest" | "own" | "first" };
  /** Attention norm lost with the oldest rows. */
  readonly tailLoss: {
    readonly heads: number;
    readonly kvHeads: number;
    readonly keyDim: number;
    readonly keyCodec: RowCodec;
    readonly scale: number;
    readonly window: number;
    readonly sinks: number;
    readonly scope: "candidates" | "all";
  };
  /** Which rows pass on to another tier. */
  readonly split: {
    readonly heads: number;
    readonly value: number;
    readonly sinks: number;
    readonly recent: number;
    readonly group: number;
  };
  /** Moves rows behind those of another tier. */
  readonly transfer: { readonly heads: number; readonly dim: number; readonly sourceCodec: RowCodec; readonly targetCodec: RowCodec };
  /** Adds counts to lengths. */
  readonly lengthen: { readonly heads: number };
  /** Which nested rule recovers enough attention. */
  readonly profile: {
    readonly heads: number;
    readonly numerator: number;
    readonly denominator: number;
    readonly window: number;
    readonly sinks: number;
    readonly recovery: number;
  };
  /** Rows that the head's nested rule keeps. */
  readonly obey: {
    readonly heads: number;
    readonly numerator: number;
    readonly denominator: number;
    readonly window: number;
    readonly sinks: number;
  };
  /** Spread over channels, on the scale of the block after. */
  readonly lagSpread: {
    readonly heads: number;
    readonly dim: number;
    readonly codec: RowCodec;
    readonly sinks: number;
    readonly lag: number;
  };
  /** Ranks inside blocks. */
  readonly blockRank: { readonly heads: number; readonly sinks: number; readonly lag: number };
  /** Puts a head's best rows above all others. */
  readonly promote: { readonly heads: number; readonly count: number };
  /** Folds the values of rows that leave into their nearest survivors. */
  readonly foldValues: {
    readonly heads: number;
    readonly keyDim: number;
    readonly valueDim: number;
    readonly keyCodec: RowCodec;
    readonly valueCodec: RowCodec;
  };
  /** Minimum and maximum of every channel over pages of keys. */
  readonly minmaxPages: {
    readonly heads: number;
    readonly dim: number;
    readonly codec: RowCodec;
    readonly page: number;
    readonly m: number;
    readonly rowBytes: number;
  };
  /** Weights of page bounds from a query. */
  readonly boundQuery: { readonly heads: number; readonly kvHeads: number; readonly dim: number; readonly channels: number };
  /** What the bounds of a row's page promise. */
  readonly pageScores: {
    readonly heads: number;
    readonly kvHeads: number;
    readonly dim: number;
    readonly codec: RowCodec;
    readonly page: number;
    readonly rowBytes: number;
    readonly by: "max" | "softmax";
    readonly capacity: number;
  };
  /** Attention of one query over chosen rows of one tier. */
  readonly attendRows: OpParams["attend"];
  /** A token's own key among learned sinks. */
  readonly sinkGate: {
    readonly m: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly dim: number;
    readonly count: number;
    readonly size: number;
    readonly scale: number;
  };
}

/** Names of the closed table. */
export type OpName = keyof OpParams;

/** One operand: how it is used, what it holds. */
export interface OperandSpec {
  readonly name: string;
  readonly use: "in" | "out" | "inout";
  readonly kind: "f32" | "u32" | "weight" | "rows" | "layout" | "column";
  readonly axes: string;
  readonly optional?: boolean;
}

/** One parameter as backends encode it, in this order: numbers as u32 or f32 words, flags as 0/1, choices as their index. */
export type ParamSpec =
  | { readonly name: string; readonly type: "u32" | "f32" | "bool" }
  | { readonly name: string; readonly type: "choice"; readonly choices: ReadonlyArray<string> };

/** How far a backend may be from the reference on this op, and why. `nmse` is relative to the energy of the reference. */
export interface Tolerance {
  readonly nmse: number;
  readonly reason: string;
}

/** One row of the table. */
export interface OpSpec {
  readonly summary: string;
  readonly operands: ReadonlyArray<OperandSpec>;
  readonly params: ReadonlyArray<ParamSpec>;
  readonly tolerance: Tolerance;
}
