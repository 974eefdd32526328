/**
 * Rotary angles on the host, in f64.
 * @module
 */
import type { Rope } from "./shape.ts";

/** Radians per position of pair i. */
const frequency = ({ theta, dims, divisors }: Rope, i: number): number => theta ** (-2 * i / dims) / (divisors?.[i] ?? 1);

/** The table of one rotation for tokens at positions [from, from + m): f32 [m, dims], cosines then sines, angles in f64. */
export function ropeTable(rope: Rope, from: number, m: number): Float32Array {
  const half = rope.dims / 2;
  const table = new Float32Array(m * rope.dims);
  for (let i = 0; i < half; i++) {
    const angle = frequency(rope, i);
    for (let t = 0; t < m; t++) {
      table[t * rope.dims + i] = Math.cos((from + t) * angle);
      table[t * rope.dims + half + i] = Math.sin((from + t) * angle);
    }
  }
  return table;
}

/** Means over the `future` positions behind the last of `queries` contiguous ones: row i, f32 [queries, dims], takes a query that was rotated
 * for the i-th of them to where queries to come are rotated, on average (mean cosines, then mean sines). */
export function meanTurns(rope: Rope, queries: number, future: number): Float32Array {
  const half = rope.dims / 2;
  const table = new Float32Array(queries * rope.dims);
  for (let i = 0; i < half; i++) {
    const angle = frequency(rope, i);
    const cosines = Float64Array.from({ length: queries + future }, (_, p) => Math.cos(p * angle) / future);
    const sines = Float64Array.from({ length: queries + future }, (_, p) => Math.sin(p * angle) / future);
    for (let t = 0; t < queries; t++) {
      let [cos, sin] = [0, 0];
      for (let p = queries - t; p < queries - t + future; p++) {
        cos += cosines[p] ?? 0;
        sin += sines[p] ?? 0;
      }
      table[t * rope.dims + i] = cos;
      table[t * rope.dims + half + i] = sin;
    }
  }
  return table;
}
