/**
 * Positions to come: rerotate, expectedAttention.
 * @module
 */
import { at, dot, headsOf, type Kernel, noQuery, widened } from "./kernel.ts";

/** Keys turned back to contiguous positions. */
export const rerotate: Kernel<"rerotate"> = ({ heads, dim, codec, dims, count }, operands) => {
  const [keys, position] = [operands.rows("keys", codec, dim), operands.u32("position")];
  const [end, table] = [at(operands.u32("end"), 0), operands.f32("table")];
  const half = dims / 2;
  for (const { start, length } of headsOf(operands.u32("layout"), heads)) {
    for (let i = 0; i < length; i++) {
      const [slot, to] = [start + i, end - length + i];
      const d = at(position, slot) - to;
      if (to < 0 || d < 0 || d >= count) continue;
      position[slot] = to;
      for (let c = 0; c < half; c++) {
        const [a, b] = [at(keys, slot * dim + c), at(keys, slot * dim + half + c)];
        const [cos, sin] = [at(table, d * dims + c), at(table, d * dims + half + c)];
        keys[slot * dim + c] = a * cos + b * sin;
        keys[slot * dim + half + c] = b * cos - a * sin;
      }
    }
  }
};

/** Expected attention (arXiv 2510.00636): queries are taken as normal, so that the mean of e^x is e^(m + v / 2). */
export const expectedAttention: Kernel<"expectedAttention"> = (
  { queries, heads, kvHeads, keyDim, keyCodec, dims, scale, sinks, spread },
  operands,
) => {
  const [q, positions, table] = [operands.f32("q"), operands.u32("queryPosition"), operands.f32("table")];
  const [keys, out, last] = [widened(operands.rows("keys", keyCodec, keyDim)), operands.f32("out"), operands.f32("logits")];
  const [group, half] = [heads / kvHeads, dims / 2];
  const seen = Array.from({ length: queries }, (_, i) => i).filter((i) => at(positions, i) !== noQuery && at(positions, i) >= sinks);
  const mapped = (i: number, head: number): Float64Array => {
    const x = Float64Array.from(q.subarray((i * heads + head) * keyDim, (i * heads + head + 1) * keyDim));
    for (let c = 0; c < half; c++) {
      const [a, b, cos, sin] = [at(x, c), at(x, half + c), at(table, i * dims + c), at(table, i * dims + half + c)];
      x[c] = a * cos - b * sin;
      x[half + c] = b * cos + a * sin;
    }
    return x;
  };
  for (const [h, { start, length }] of headsOf(operands.u32("layout"), kvHeads).entries()) {
    out.fill(0, start, start + length);
    for (let g = 0; g < group; g++) {
      const own = seen.map((i) => mapped(i, h * group + g));
      const logits = Array.from({ length }, (_, t) => {
        const dots = own.map((x) => dot(x, 0, keys, (start + t) * keyDim, keyDim) * scale);
        const mean = dots.reduce((a, b) => a + b, 0) / Math.max(1, dots.length);
        const variance = dots.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, dots.length);
        return spread ? mean + variance / 2 : mean;
      });
      const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
      const total = logits.reduce((sum, x) => sum + Math.exp(x - top), 0);
      last.set(logits, start);
      // Sums of f32 shares stay shares to seven digits, whatever the group.
      logits.forEach((x, t) => out[start + t] = at(out, start + t) + Math.exp(x - top) / total / group);
    }
  }
};
