/**
 * Rotary angles on the host.
 * @module
 */
import type { LayerShape, Rope } from "../cache/shape.ts";

/** The different rotations of a model, and which one each layer uses. */
export function ropesOf(
  layers: ReadonlyArray<Pick<LayerShape, "rope">>,
): { readonly ropes: ReadonlyArray<Rope>; readonly of: ReadonlyArray<number> } {
  const keys = layers.map(({ rope }) => JSON.stringify([rope.theta, rope.dims, rope.divisors ?? null]));
  const firsts = [...new Set(keys)];
  return { ropes: firsts.flatMap((key) => layers[keys.indexOf(key)]?.rope ?? []), of: keys.map((key) => firsts.indexOf(key)) };
}

/** The table of one rotation for tokens at positions [from, from + m): f32 [m, dims], cosines then sines, angles in f64. */
export function ropeTable(rope: Rope, from: number, m: number): Float32Array {
  const half = rope.dims / 2;
  const table = new Float32Array(m * rope.dims);
  for (let i = 0; i < half; i++) {
    const frequency = rope.theta ** (-2 * i / rope.dims) / (rope.divisors?.[i] ?? 1);
    for (let t = 0; t < m; t++) {
      table[t * rope.dims + i] = Math.cos((from + t) * frequency);
      table[t * rope.dims + half + i] = Math.sin((from + t) * frequency);
    }
  }
  return table;
}
