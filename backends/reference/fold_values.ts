/**
 * `foldValues`: what leaves is folded into its nearest survivor.
 * @module
 */
import { at, dot, headsOf, type Kernel, widened } from "./kernel.ts";

/** Shorter keys count as having this norm. */
const least = 1e-12;

/** Values of rows that are not kept, folded into the kept rows whose keys are nearest. */
export const foldValues: Kernel<"foldValues"> = (params, operands) => {
  const { heads, keyDim, valueDim, keyCodec, valueCodec } = params;
  const [keys, values] = [widened(operands.rows("keys", keyCodec, keyDim)), operands.rows("values", valueCodec, valueDim)];
  const [counts, keep, weights] = [operands.u32("counts"), operands.u32("keep"), operands.f32("weight")];
  const before = Float32Array.from(values);
  for (const [h, { start, length }] of headsOf(operands.u32("layout"), heads).entries()) {
    const kept = [...keep.subarray(start, start + at(counts, h))];
    if (kept.length === 0) continue;
    const stays = new Set(kept);
    const product = (of: Float32Array, dim: number, i: number, j: number): number => dot(of, (start + i) * dim, of, (start + j) * dim, dim);
    const norm = (of: Float32Array, dim: number, i: number): number => Math.sqrt(product(of, dim, i, i));
    const keyNorms = Array.from({ length }, (_, i) => Math.max(norm(keys, keyDim, i), least));
    const sums = new Map<number, { weight: number; value: Float64Array }>();
    for (const [i, e] of Array.from({ length }, (_, t) => t).filter((t) => !stays.has(t)).entries()) {
      const cosines = kept.map((t) => product(keys, keyDim, e, t) / at(keyNorms, e) / at(keyNorms, t));
      const place = cosines.reduce((most, c, t) => c > at(cosines, most) ? t : most, 0);
      const [target, own] = [at(kept, place), norm(before, valueDim, e)];
      const both = own + norm(before, valueDim, target);
      const w = both === 0 ? 0 : Math.max(0, at(cosines, place)) * own / both;
      const sum = sums.get(target) ?? { weight: 0, value: new Float64Array(valueDim) };
      sums.set(target, { weight: sum.weight + w, value: sum.value.map((x, c) => x + w * at(before, (start + e) * valueDim + c)) });
      keep[start + kept.length + i] = place;
      weights[start + i] = w;
    }
    weights.set(kept.map((t) => at(keyNorms, t)), start + length - kept.length);
    for (const [target, { weight, value }] of sums) {
      const row = (start + target) * valueDim;
      for (let c = 0; c < valueDim; c++) values[row + c] = (at(before, row + c) + at(value, c)) / (1 + weight);
    }
  }
};
