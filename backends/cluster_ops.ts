/**
 * Ops that group rows by the direction of their keys and say what a group promises a query. The words used are those of `ops.ts`.
 * @module
 */
import { choice, exact, layout, read, sums, u32, update, write } from "./op_spec.ts";
import type { OpName, OpSpec } from "./op_types.ts";

type ClusterOp = Extract<OpName, "kmeans" | "centroids" | "clusterScores">;

/** A label is a whole number from 0 to capacity / stride, rounded down, exclusive; any other number in the column is none. */
const plain = choice("codec", ["f32", "f16"]);

/** In code order, the end of the table. */
export const clusterOps: Readonly<Record<ClusterOp, OpSpec>> = {
  kmeans: {
    summary:
      "labels the rows of each head behind the last one that has a label or a position < sinks; n of them become min(n, count) clusters, or with count 0 max(1, round(n / per)), and never more than have room (stride slots of the head's capacity each); fewer rows than stride stay as they are. New labels follow the largest in use. k-means by cosine: cluster c of C starts at row floor(c n / C) + hash(seed, c) mod (floor((c + 1) n / C) - floor(c n / C)); rows go to the centroid of largest k.m / (|m| + 1e-8), the lowest on ties; centroids become the means of their rows, those without rows stay; until no label changes, or `iterations` means were taken, and rows are assigned once more. means: of cluster c of these, from slot start + c on, as last taken",
    operands: [
      read("keys", "rows", "slots dim"),
      read("position", "u32", "slots"),
      layout,
      update("labels", "column", "slots"),
      write("means", "f32", "slots dim"),
    ],
    params: [...u32("heads", "dim"), plain, ...u32("per", "count", "sinks", "iterations", "seed", "stride")],
    tolerance: exact,
  },
  centroids: {
    summary:
      "of each label in use the mean of the keys of its rows, f32, from the bytes of slot start + stride * label of `index` on; those of labels without rows are zeros",
    operands: [
      read("keys", "rows", "slots dim"),
      read("labels", "column", "slots"),
      layout,
      update("index", "rows", "slots rowBytes"),
    ],
    params: [...u32("heads", "dim"), plain, ...u32("stride", "rowBytes")],
    tolerance: sums,
  },
  clusterScores: {
    summary:
      "column: the largest q.m of the group of query heads, m the centroid of the row's label as `centroids` has it; rows without a label (t + 1) 2^100, t their index, so that they come first and the newest of them before the others. promises: of label c, at slot start + c",
    operands: [
      read("q", "f32", "Hq dim"),
      read("index", "rows", "slots rowBytes"),
      read("labels", "column", "slots"),
      layout,
      write("promises", "column", "slots"),
      write("out", "column", "slots"),
    ],
    params: u32("heads", "kvHeads", "dim", "stride", "rowBytes"),
    tolerance: sums,
  },
};
