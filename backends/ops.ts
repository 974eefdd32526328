/**
 * The closed table of ops: operands, parameters, cost and tolerance of each. Adding an op is one entry here, one function
 * in `backends/reference/`, one in `kernels/wasm/`, one shader in `kernels/wgsl/`. See `docs/add_an_op.md`.
 *
 * Words used below. `M` tokens of this run; `Hq`, `Hkv` query and KV heads, `G = Hq / Hkv`, query head `i` reads KV head
 * `floor(i / G)`. `rows(codec)[slots, d]`: row storage of a tier; the row of head h at index t lies at slot `start_h + t`.
 * `layout`: u32 [Hkv, 3] = (start, length, capacity) per head. `column`: f32 [slots], indexed by slot like rows. Slots that
 * hold no row (slack) are never read, and only `append`, `extend`, `compact` and `copyRows` write rows.
 * Position 0xFFFFFFFF as a query position means "no query here".
 * @module
 */

import { admissionOps } from "./admission_ops.ts";
import { bool, choice, codec, exact, f32, layout, optional, poly, read, sums, u32, update, write } from "./op_spec.ts";
import { gateOps } from "./gate_ops.ts";
import { mapFns, type OpName, type OpSpec } from "./op_types.ts";
import { ruleOps } from "./rule_ops.ts";
import { scoreOps } from "./score_ops.ts";
import { tierOps } from "./tier_ops.ts";
import { selectOps } from "./select_ops.ts";
import { wovenOps } from "./woven_ops.ts";
import { channelOps } from "./channel_ops.ts";
import { clusterOps } from "./cluster_ops.ts";
import { futureOps } from "./future_ops.ts";

export { mapFns } from "./op_types.ts";
export type { WovenParams } from "./woven_types.ts";
export type { MapFn, OperandSpec, OpName, OpParams, OpSpec, ParamSpec, RowCodec, Tolerance } from "./op_types.ts";
export type { GroupOpParams } from "./group_op_types.ts";

/** The table. Key order is the op code that Wasm sees. */
export const ops: Readonly<Record<OpName, OpSpec>> = {
  embed: {
    summary: "out[i] = scale * row ids[i] of the embedding matrix",
    operands: [read("table", "weight", "vocab dim"), read("ids", "u32", "M"), write("out", "f32", "M dim")],
    params: [...u32("m", "dim"), ...f32("scale")],
    tolerance: {
      nmse: 1e-6,
      reason: "a backend may hold the matrix repacked; blocks decode exactly, repacked 8-bit blocks within f32 rounding",
    },
  },
  norm: {
    summary: "RMS norm: out = x / sqrt(mean(x^2) + eps) * weight, row by row; out may be x",
    operands: [read("x", "f32", "rows dim"), read("weight", "weight", "1 dim"), write("out", "f32", "rows dim")],
    params: [...u32("rows", "dim"), ...f32("eps")],
    tolerance: sums,
  },
  matmul: {
    summary: "out[M, N] = x[M, K] * W[N, K]^T + bias, added to what out holds if accumulate",
    operands: [
      read("x", "f32", "M K"),
      read("weight", "weight", "N K"),
      optional(read("bias", "weight", "1 N")),
      update("out", "f32", "M N"),
    ],
    params: [...u32("m", "n", "k"), bool("accumulate")],
    tolerance: {
      nmse: 1e-8,
      reason:
        "weights in blocks: activations may become whole numbers of 16 bits per 32 (off by 1.5e-5 of the largest); f32 and f16 weights must stay within 1e-10",
    },
  },
  rope: {
    summary: "rotates pairs (i, i + dims/2) of each head in place by the angles of `table` = [cos(dims/2) | sin(dims/2)] per token",
    operands: [update("x", "f32", "M heads dim"), read("table", "f32", "M dims")],
    params: u32("m", "heads", "dim", "dims"),
    tolerance: sums,
  },
  glu: {
    summary: "out = activation(gate) * up, elementwise; silu = x / (1 + e^-x), gelu in its tanh form; out may be gate",
    operands: [read("gate", "f32", "count"), read("up", "f32", "count"), write("out", "f32", "count")],
    params: [...u32("count"), choice("activation", ["silu", "gelu"])],
    tolerance: poly,
  },
  map: {
    summary: "elementwise fn over [0, count), or with a layout over the rows of a column only; out may be a or b",
    operands: [read("a", "f32", "count"), optional(read("b", "f32", "count")), optional(layout), write("out", "f32", "count")],
    params: [choice("fn", mapFns), ...u32("count"), ...f32("value"), ...u32("heads")],
    tolerance: poly,
  },
  append: {
    summary: "encodes M rows per head at the end of each segment, writes their positions, adds M to each length",
    operands: [
      read("k", "f32", "M Hkv keyDim"),
      read("v", "f32", "M Hkv valueDim"),
      read("positions", "u32", "M"),
      update("keys", "rows", "slots keyDim"),
      update("values", "rows", "slots valueDim"),
      update("position", "u32", "slots"),
      update("layout", "layout", "Hkv 3"),
    ],
    params: [...u32("m", "heads", "keyDim", "valueDim"), codec("keyCodec"), codec("valueCodec")],
    tolerance: exact,
  },
  extend: {
    summary: "sets a column to `value` on the last m rows of each segment (run after append)",
    operands: [update("column", "column", "slots"), layout],
    params: [...u32("m", "heads"), ...f32("value")],
    tolerance: exact,
  },
  attend: {
    summary:
      "softmax attention of M queries over one tier: a row is visible if its position <= the query's and, with a window, position > query - window; scores = scale * q.k, then softcap * tanh(s / softcap) if softcap > 0. lse = log of the sum of exponentials, -1e30 where nothing is visible (out = 0), which is always so for a query without a position. merge: combines with the out and lse already there",
    operands: [
      read("q", "f32", "M Hq keyDim"),
      read("keys", "rows", "slots keyDim"),
      read("values", "rows", "slots valueDim"),
      read("position", "u32", "slots"),
      layout,
      read("queryPosition", "u32", "M"),
      update("out", "f32", "M Hq valueDim"),
      update("lse", "f32", "M Hq"),
    ],
    params: [
      ...u32("m", "heads", "kvHeads", "keyDim", "valueDim"),
      codec("keyCodec"),
      codec("valueCodec"),
      ...f32("scale"),
      ...u32("window"),
      ...f32("softcap"),
      bool("merge"),
    ],
    tolerance: { nmse: 1e-9, reason: "f32 exp and sums, online rescaling, rows streamed in f16 convert exactly" },
  },
  attendReduce: {
    summary:
      "column of attention mass per row without the matrix: p = exp(score - lse) where visible and lse is not -1e30, else 0, reduced over queries, then over the group of query heads; mean over queries divides by the queries whose position is not 0xFFFFFFFF, and is 0 without any. With a divisor, p of query i counts divided by max(divisor[i], 1e-30); with a gain, what query head g of the group gathered counts times gain[slot, g]. accumulate adds to the column",
    operands: [
      read("q", "f32", "Q Hq keyDim"),
      read("keys", "rows", "slots keyDim"),
      read("position", "u32", "slots"),
      layout,
      read("queryPosition", "u32", "Q"),
      read("lse", "f32", "Q Hq"),
      update("out", "column", "slots"),
      optional(read("divisor", "f32", "Q")),
      optional(read("gain", "f32", "slots G")),
    ],
    params: [
      ...u32("queries", "heads", "kvHeads", "keyDim"),
      codec("keyCodec"),
      ...f32("scale"),
      ...u32("window"),
      ...f32("softcap"),
      choice("overQueries", ["sum", "mean", "max"]),
      choice("overGroup", ["sum", "mean", "max"]),
      bool("accumulate"),
    ],
    tolerance: { nmse: 1e-9, reason: "f32 exp of a difference of f32 sums" },
  },
  reduce: {
    summary: "column of l1 / l2 norms, sums, means or maxima of the rows",
    operands: [read("rows", "rows", "slots dim"), layout, write("out", "column", "slots")],
    params: [...u32("heads", "dim"), codec("codec"), choice("by", ["l1", "l2", "sum", "mean", "max"])],
    tolerance: sums,
  },
  meanUnit: {
    summary: "per head the mean over rows of row / max(|row|, 1e-12); zeros for an empty head",
    operands: [read("rows", "rows", "slots dim"), layout, write("out", "f32", "Hkv dim")],
    params: [...u32("heads", "dim"), codec("codec")],
    tolerance: sums,
  },
  similarity: {
    summary: "column of cosine similarities of each row with its head's anchor; norms below 1e-12 count as 1e-12",
    operands: [read("rows", "rows", "slots dim"), read("anchor", "f32", "Hkv dim"), layout, write("out", "column", "slots")],
    params: [...u32("heads", "dim"), codec("codec")],
    tolerance: sums,
  },
  positions: {
    summary: "column of row positions as f32 (exact below 2^24)",
    operands: [read("position", "u32", "slots"), layout, write("out", "column", "slots")],
    params: u32("heads"),
    tolerance: exact,
  },
  pool: {
    summary:
      "per segment, over its first length - dropLast rows: centred window of odd `size`; max over what exists, mean divides by size always; the last dropLast rows are copied",
    operands: [read("a", "column", "slots"), layout, write("out", "column", "slots")],
    params: [...u32("heads"), choice("by", ["max", "mean"]), ...u32("size", "dropLast")],
    tolerance: sums,
  },
  headMean: {
    summary: "out of head h at index t = mean over the heads that have an index t; heads of equal length end up identical",
    operands: [read("a", "column", "slots"), layout, write("out", "column", "slots")],
    params: u32("heads"),
    tolerance: sums,
  },
  rank: {
    summary:
      "which rows stay. Protected: position < sinks, or position + recent > newest (integers, no wrap). perHead: each head keeps min(length, max(count, protected)) rows: protected first, then higher score, then lower position. pooled: the layer keeps min(sum lengths, heads * count) rows in all (more if protection demands); each head first keeps its protected and best rows up to min(length, floor), the rest go to the best remaining (score, then lower head, then lower position). NaN ranks below everything, -0 equals 0. keep = ascending indices within the segment, at the segment's slots (what follows them up to the segment's length is undefined); counts per head",
    operands: [
      read("score", "column", "slots"),
      read("position", "u32", "slots"),
      layout,
      read("newest", "u32", "1"),
      write("keep", "u32", "slots"),
      write("counts", "u32", "Hkv"),
    ],
    params: [...u32("heads"), choice("mode", ["perHead", "pooled"]), ...u32("count", "floor", "sinks", "recent")],
    tolerance: exact,
  },
  threshold: {
    summary: "like rank, but keeps protected rows and rows with score >= value, and the best rows up to min(length, floor) if fewer remain",
    operands: [
      read("score", "column", "slots"),
      read("position", "u32", "slots"),
      layout,
      read("newest", "u32", "1"),
      write("keep", "u32", "slots"),
      write("counts", "u32", "Hkv"),
    ],
    params: [...u32("heads"), ...f32("value"), ...u32("floor", "sinks", "recent")],
    tolerance: exact,
  },
  compact: {
    summary: "moves row keep[start_h + i] of source to row i of target, i < counts[h]; target may be source when both layouts start alike",
    operands: [
      read("source", "rows", "slots rowBytes"),
      read("keep", "u32", "slots"),
      read("counts", "u32", "Hkv"),
      read("sourceLayout", "layout", "Hkv 3"),
      read("targetLayout", "layout", "Hkv 3"),
      update("target", "rows", "slots rowBytes"),
    ],
    params: u32("heads", "rowBytes"),
    tolerance: exact,
  },
  truncate: {
    summary: "sets each length of a layout to counts[h]",
    operands: [read("counts", "u32", "Hkv"), update("layout", "layout", "Hkv 3")],
    params: u32("heads"),
    tolerance: exact,
  },
  copyRows: {
    summary: "copies the rows of every segment to the segment of another layout (lengths from the source layout)",
    operands: [
      read("source", "rows", "slots rowBytes"),
      read("sourceLayout", "layout", "Hkv 3"),
      read("targetLayout", "layout", "Hkv 3"),
      update("target", "rows", "slots rowBytes"),
    ],
    params: u32("heads", "rowBytes"),
    tolerance: exact,
  },
  slide: {
    summary: "ring = the last `window` rows of (ring, then x), bit for bit, 4-byte elements",
    operands: [read("x", "f32", "M width"), update("ring", "f32", "window width")],
    params: u32("m", "window", "width"),
    tolerance: exact,
  },
  slice: {
    summary: "out = rows [from, from + rows) of x",
    operands: [read("x", "f32", "M width"), write("out", "f32", "rows width")],
    params: u32("from", "rows", "width"),
    tolerance: exact,
  },
  argmax: {
    summary:
      "index of the largest value per row, the lowest index on ties; 0xFFFFFFFF where a value is NaN or +infinity, or none is finite",
    operands: [read("x", "f32", "M N"), write("out", "u32", "M")],
    params: u32("m", "n"),
    tolerance: exact,
  },
  projectedNorm: {
    summary:
      "per row and query head g of its group: sqrt(max(0, row^T gram_q row)), which is the norm of W_q row where gram_q = W_q^T W_q for that head's slice W_q of the output projection",
    operands: [
      read("rows", "rows", "slots dim"),
      read("gram", "f32", "Hq dim dim"),
      layout,
      write("out", "f32", "slots G"),
    ],
    params: [...u32("heads", "kvHeads", "dim"), codec("codec")],
    tolerance: { nmse: 1e-9, reason: "f32 sums of products of both signs in another order" },
  },
  ...admissionOps,
  ...scoreOps,
  ...tierOps,
  ...ruleOps,
  ...selectOps,
  ...gateOps,
  ...wovenOps,
  ...clusterOps,
  ...futureOps,
  ...channelOps,
};

/** Op names in code order. */
export const opNames: ReadonlyArray<OpName> = Object.keys(ops) as ReadonlyArray<OpName>;
