/**
 * Which rotations the layers of a model have.
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
