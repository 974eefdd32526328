/**
 * Ops that compare the rows of a head with each other: `newestLike`, `redundancy`.
 * @module
 */
import { at, dot, type Head, headsOf, type Kernel, type Operands, type Rows, widened } from "./kernel.ts";

/** Stands for "no row". */
export const noRow = 0xFFFFFFFF;

/** Shorter rows count as having this norm, so that a zero row has no direction rather than every direction. */
const least = 1e-12;

/** Cosine of rows i and j of a head. */
const cosines = ({ start }: Head, dim: number, from: Rows, norms: Float32Array): (i: number, j: number) => number => {
  const rows = widened(from.subarray(start * dim));
  const norm = (i: number): number => Math.max(at(norms, start + i), least);
  return (i, j) => dot(rows, i * dim, rows, j * dim, dim) / norm(i) / norm(j);
};

/** Each row's newest other row of similar direction. */
export const newestLike: Kernel<"newestLike"> = ({ heads, dim, codec, above }, operands) => {
  const [rows, norms, out] = [operands.rows("rows", codec, dim), operands.f32("norms"), operands.u32("out")];
  const limit = Math.fround(above);
  for (const head of headsOf(operands.u32("layout"), heads)) {
    const cosine = cosines(head, dim, rows, norms);
    for (let i = 0; i < head.length; i++) {
      let j = head.length - 1;
      while (j >= 0 && (j === i || !(cosine(i, j) > limit))) j--;
      out[head.start + i] = j < 0 ? noRow : j;
    }
  }
};

/** Mean similarity with the other rows; what a row has in common with its newest likeness is not held against that one. */
export const redundancy: Kernel<"redundancy"> = ({ heads, dim, codec, spares }, operands) => {
  const [rows, norms, out] = [operands.rows("rows", codec, dim), operands.f32("norms"), operands.f32("out")];
  for (const [h, head] of headsOf(operands.u32("layout"), heads).entries()) {
    const cosine = cosines(head, dim, rows, norms);
    const charged = withAnchor(head, dim, operands, h, rows, norms).map((sum, i) => sum * head.length - cosine(i, i));
    for (let i = 0; i < head.length; i++) {
      const found = at(operands.u32("like"), head.start + i);
      const like = found === noRow && spares === "first" ? 0 : found;
      if (like === noRow || like === i) continue;
      const spared = spares === "own" ? i : like;
      charged[spared] = at(charged, spared) - cosine(i, like);
    }
    out.set(charged.map((sum) => sum / head.length), head.start);
  }
};

/** Mean cosine of each row with all rows of its head, itself included: its unit vector times the mean of theirs. */
function withAnchor({ start, length }: Head, dim: number, operands: Operands, h: number, rows: Rows, norms: Float32Array): number[] {
  const [numbers, anchor] = [widened(rows), operands.f32("anchor")];
  const along = (i: number): number => dot(numbers, (start + i) * dim, anchor, h * dim, dim);
  return Array.from({ length }, (_, i) => along(i) / Math.max(at(norms, start + i), least));
}
