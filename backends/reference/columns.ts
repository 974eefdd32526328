/**
 * Ops that give or change one number per row: `reduce`, `meanUnit`, `similarity`, `positions`, `pool`, `headMean`, `projectedNorm`.
 * @module
 */
import { at, dot, headsOf, type Kernel, type Rows, widened } from "./kernel.ts";

const folds: Readonly<Record<"l1" | "l2" | "sum" | "mean" | "max", (row: ArrayLike<number>) => number>> = {
  l1: (row) => sum(row.length, (c) => Math.abs(at(row, c))),
  l2: (row) => length(row),
  sum: (row) => sum(row.length, (c) => at(row, c)),
  mean: (row) => sum(row.length, (c) => at(row, c)) / row.length,
  max: (row) => Array.from(row).reduce((a, b) => Math.max(a, b), -Infinity),
};

function sum(count: number, term: (c: number) => number): number {
  let total = 0;
  for (let c = 0; c < count; c++) total += term(c);
  return total;
}

const length = (row: ArrayLike<number>): number => Math.sqrt(sum(row.length, (c) => at(row, c) ** 2));

const rowAt = (rows: Rows, slot: number, dim: number): Rows => rows.subarray(slot * dim, (slot + 1) * dim);

/** Column of one number per row. */
export const reduce: Kernel<"reduce"> = ({ heads, dim, codec, by }, operands) => {
  const [rows, out] = [operands.rows("rows", codec, dim), operands.f32("out")];
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    for (let slot = start; slot < start + length; slot++) out[slot] = folds[by](rowAt(rows, slot, dim));
  }
};

/** Shorter rows count as having this norm, so that a zero row has no direction rather than every direction. */
const least = 1e-12;

/** Mean of the unit rows of each head. */
export const meanUnit: Kernel<"meanUnit"> = ({ heads, dim, codec }, operands) => {
  const [rows, out] = [operands.rows("rows", codec, dim), operands.f32("out")];
  for (const [h, head] of headsOf(operands.u32("layout"), heads).entries()) {
    const mean = new Float64Array(dim);
    for (let slot = head.start; slot < head.start + head.length; slot++) {
      const row = rowAt(rows, slot, dim);
      const norm = Math.max(length(row), least);
      for (let c = 0; c < dim; c++) mean[c] = at(mean, c) + at(row, c) / norm / head.length;
    }
    out.set(mean, h * dim);
  }
};

/** Cosine of each row with its head's anchor. */
export const similarity: Kernel<"similarity"> = ({ heads, dim, codec }, operands) => {
  const [rows, anchors, out] = [operands.rows("rows", codec, dim), operands.f32("anchor"), operands.f32("out")];
  for (const [h, head] of headsOf(operands.u32("layout"), heads).entries()) {
    const anchor = rowAt(anchors, h, dim);
    const anchorNorm = Math.max(length(anchor), least);
    for (let slot = head.start; slot < head.start + head.length; slot++) {
      const row = rowAt(rows, slot, dim);
      out[slot] = sum(dim, (c) => at(row, c) * at(anchor, c)) / Math.max(length(row), least) / anchorNorm;
    }
  }
};

/** Positions as numbers. */
export const positions: Kernel<"positions"> = ({ heads }, operands) => {
  const [position, out] = [operands.u32("position"), operands.f32("out")];
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    for (let slot = start; slot < start + length; slot++) out[slot] = at(position, slot);
  }
};

/** Centred window along a segment; the last `dropLast` rows take no part and are copied. */
export const pool: Kernel<"pool"> = ({ heads, by, size, dropLast }, operands) => {
  const [a, out] = [operands.f32("a"), operands.f32("out")];
  const reach = (size - 1) / 2;
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    const row = a.subarray(start, start + length);
    const pooled = Math.max(0, length - dropLast);
    for (let t = 0; t < length; t++) {
      const window = row.subarray(Math.max(0, t - reach), Math.min(pooled, t + reach + 1));
      if (t >= pooled) out[start + t] = at(row, t);
      else out[start + t] = by === "max" ? folds.max(window) : folds.sum(window) / size;
    }
  }
};

/** Mean over the heads that have an index. */
export const headMean: Kernel<"headMean"> = ({ heads }, operands) => {
  const [a, out] = [operands.f32("a"), operands.f32("out")];
  const segments = headsOf(operands.u32("layout"), heads);
  const longest = segments.reduce((most, { length }) => Math.max(most, length), 0);
  for (let t = 0; t < longest; t++) {
    const sharing = segments.filter(({ length }) => length > t);
    const mean = sharing.reduce((total, { start }) => total + at(a, start + t), 0) / sharing.length;
    for (const { start } of sharing) out[start + t] = mean;
  }
};

/** What each row writes through each query head of its group, as a norm. */
export const projectedNorm: Kernel<"projectedNorm"> = ({ heads, kvHeads, dim, codec }, operands) => {
  const [rows, gram, out] = [widened(operands.rows("rows", codec, dim)), operands.f32("gram"), operands.f32("out")];
  const group = heads / kvHeads;
  for (const [h, { start, length }] of headsOf(operands.u32("layout"), kvHeads).entries()) {
    for (let slot = start; slot < start + length; slot++) {
      const row = rowAt(rows, slot, dim);
      for (let g = 0; g < group; g++) {
        const of = (h * group + g) * dim * dim;
        const square = sum(dim, (c) => at(row, c) * dot(gram, of + c * dim, rows, slot * dim, dim));
        out[slot * group + g] = Math.sqrt(Math.max(0, square));
      }
    }
  }
};

/** Numbers of this run's tokens into the column of their rows, by position. */
export const perToken: Kernel<"perToken"> = ({ m, heads }, operands) => {
  const [x, position, column] = [operands.f32("x"), operands.u32("position"), operands.f32("column")];
  const first = at(operands.u32("newest"), 0) + 1 - m;
  for (const [h, { start, length }] of headsOf(operands.u32("layout"), heads).entries()) {
    for (let slot = start; slot < start + length; slot++) {
      const token = at(position, slot) - first;
      if (token >= 0 && token < m) column[slot] = at(x, token * heads + h);
    }
  }
};
