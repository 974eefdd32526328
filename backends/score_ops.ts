/**
 * Ops that one family of methods needs to weigh rows: the end of the op table in `ops.ts`, whose words are used here.
 * @module
 */
import { choice, codec, exact, f32, layout, poly, read, u32, write } from "./op_spec.ts";
import type { OpName, OpSpec } from "./op_types.ts";

type ScoreOp = Extract<OpName, "softmax" | "groupVotes" | "newestLike" | "redundancy" | "tailLoss">;

/** In code order, after all ops of `ops.ts`. */
export const scoreOps: Readonly<Record<ScoreOp, OpSpec>> = {
  softmax: {
    summary: "per head over its first length - dropLast rows: e^a / sum of e^a; 0 for the last dropLast rows; out may be a",
    operands: [read("a", "column", "slots"), layout, write("out", "column", "slots")],
    params: u32("heads", "dropLast"),
    tolerance: poly,
  },
  groupVotes: {
    summary:
      "column of votes: of each query the softmax, over a head's first length - dropLast rows, of the largest scale * q.k in the group of query heads; mean over the queries that have a position, 0 without any; 0 for the last dropLast rows. Every row counts as visible",
    operands: [
      read("q", "f32", "Q Hq keyDim"),
      read("keys", "rows", "slots keyDim"),
      layout,
      read("queryPosition", "u32", "Q"),
      write("out", "column", "slots"),
    ],
    params: [...u32("queries", "heads", "kvHeads", "keyDim"), codec("keyCodec"), ...f32("scale"), ...u32("dropLast")],
    tolerance: { nmse: 1e-9, reason: "f32 exp of a difference of f32 sums" },
  },
  newestLike: {
    summary:
      "per row the index within its head of the newest other row whose cosine with it is larger than `above`, 0xFFFFFFFF if there is none; norms are the rows' l2 norms, below 1e-12 they count as 1e-12",
    operands: [read("rows", "rows", "slots dim"), read("norms", "column", "slots"), layout, write("out", "u32", "slots")],
    params: [...u32("heads", "dim"), codec("codec"), ...f32("above")],
    tolerance: exact,
  },
  redundancy: {
    summary:
      "column of (sum of the cosines of the row with the other rows of its head, but for those that are spared) / length: `newest` the rows whose `like` it is, `own` the row that is its `like`, `first` as newest, where the first row is that of all rows without one; anchor is what meanUnit gives for the rows, norms count as in newestLike, like is 0xFFFFFFFF or the index of another row",
    operands: [
      read("rows", "rows", "slots dim"),
      read("norms", "column", "slots"),
      read("anchor", "f32", "Hkv dim"),
      read("like", "u32", "slots"),
      layout,
      write("out", "column", "slots"),
    ],
    params: [...u32("heads", "dim"), codec("codec"), choice("spares", ["newest", "own", "first"])],
    tolerance: { nmse: 1e-9, reason: "a difference of f32 sums of products of both signs" },
  },
  tailLoss: {
    summary:
      "column of the share of attention norm that is lost if the row and all before it leave, but for positions below sinks: per query head the l2 norm of what one query pays (p as in attendReduce) to the rows behind the row and, in scope `all`, to the sinks; summed over all query heads, where a head that ends before the row's index adds nothing; 1 - that sum / the same sum with nothing gone. 0 for sinks, 1 where the query pays nothing at all",
    operands: [
      read("q", "f32", "Hq keyDim"),
      read("keys", "rows", "slots keyDim"),
      read("position", "u32", "slots"),
      layout,
      read("queryPosition", "u32", "1"),
      read("lse", "f32", "Hq"),
      write("out", "column", "slots"),
    ],
    params: [
      ...u32("heads", "kvHeads", "keyDim"),
      codec("keyCodec"),
      ...f32("scale"),
      ...u32("window", "sinks"),
      choice("scope", ["candidates", "all"]),
    ],
    tolerance: { nmse: 1e-9, reason: "f32 exp of a difference of f32 sums" },
  },
};
