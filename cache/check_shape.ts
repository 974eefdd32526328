/**
 * What a model shape must satisfy before anything is computed from it.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "./error.ts";
import type { LayerShape, ModelShape } from "./shape.ts";

/** Right if there is a layer, and in every layer heads and dims are whole numbers from 1, KV heads divide query heads, the
 * scale is finite, and the window is a whole number from 0. */
export function checkShape({ layers }: Pick<ModelShape, "layers">): E.Either<KvError, void> {
  const wrong = layers.length === 0
    ? ["layers", "one at least", "none"] as const
    : layers.flatMap((layer, l) => faults(layer, `layer ${l}`))[0];
  if (wrong === undefined) return E.right(undefined);
  const [at, expected, actual] = wrong;
  return E.left({ _tag: "ShapeMismatch", at: `model shape, ${at}`, expected, actual });
}

function faults(layer: LayerShape, at: string): ReadonlyArray<readonly [string, string, string]> {
  const { queryHeads, kvHeads, keyDim, valueDim, scale, window } = layer;
  const whole = (n: number, from: number): boolean => Number.isSafeInteger(n) && n >= from;
  const counts = Object.entries({ queryHeads, kvHeads, keyDim, valueDim }).filter(([, n]) => !whole(n, 1));
  return [
    ...counts.map(([name, n]) => [`${at} ${name}`, "a whole number from 1", String(n)] as const),
    ...queryHeads % kvHeads === 0
      ? []
      : [[`${at} heads`, "a multiple of the KV heads as query heads", `${queryHeads} of ${kvHeads}`] as const],
    ...Number.isFinite(scale) ? [] : [[`${at} scale`, "a finite number", String(scale)] as const],
    ...whole(window, 0) ? [] : [[`${at} window`, "a whole number from 0", String(window)] as const],
  ];
}
