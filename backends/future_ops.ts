/**
 * Ops about positions to come: keys turned to where they would be if nothing had left, attention that is expected of later queries. The words
 * used are those of `ops.ts`.
 * @module
 */
import { bool, choice, f32, layout, read, sums, u32, update, write } from "./op_spec.ts";
import type { OpName, OpSpec } from "./op_types.ts";

type FutureOp = Extract<OpName, "rerotate" | "expectedAttention">;

/** In code order, the end of the table. */
export const futureOps: Readonly<Record<FutureOp, OpSpec>> = {
  rerotate: {
    summary:
      "row i of the n rows of a head moves from position p to end - n + i, where that is 0 or more and d = p minus it is 0 to count - 1, else it stays: its position changes, and pairs (c, c + dims/2) of its key turn back by the angles of row d of `table` = [cos(dims/2) | sin(dims/2)]",
    operands: [
      update("keys", "rows", "slots dim"),
      update("position", "u32", "slots"),
      layout,
      read("end", "u32", "1"),
      read("table", "f32", "count dims"),
    ],
    params: [...u32("heads", "dim"), choice("codec", ["f32", "f16"]), ...u32("dims", "count")],
    tolerance: sums,
  },
  expectedAttention: {
    summary:
      "column: mean over the group of query heads of the softmax, over the rows of a head, of m + v / 2 (spread) or m: mean and variance (by the number of queries) of scale * k.q', over the queries whose position is not 0xFFFFFFFF and at least `sinks`; 0 both without any. q' is query i with its pairs (c, c + dims/2) = (a, b) mapped to (a cos - b sin, b cos + a sin) by row i of `table` = [cos(dims/2) | sin(dims/2)], which need not be those of an angle. logits: those m + v / 2, or m, of the last query head of each group",
    operands: [
      read("q", "f32", "Q Hq keyDim"),
      read("queryPosition", "u32", "Q"),
      read("keys", "rows", "slots keyDim"),
      layout,
      read("table", "f32", "Q dims"),
      write("out", "column", "slots"),
      write("logits", "column", "slots"),
    ],
    params: [
      ...u32("queries", "heads", "kvHeads", "keyDim"),
      choice("keyCodec", ["f32", "f16"]),
      ...u32("dims"),
      ...f32("scale"),
      ...u32("sinks"),
      bool("spread"),
    ],
    tolerance: { nmse: 1e-9, reason: "f32 exp of a mean and a variance of f32 sums" },
  },
};
