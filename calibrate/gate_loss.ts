/**
 * The loss of soft gates on one KV head of one text, and its slope.
 *
 * Source: arXiv 2512.17452 as its code has it: e^logit is multiplied by the gate for rows older than the window; o_j, the share of its
 * life that row j spends in the window anyway, takes it out of the regulariser.
 * @module
 */
import type { GateHead } from "./gate_head.ts";

/** Gates count as at least this while they are trained. */
export const least = 1e-3;

/** Loss, its slope by each gate, and the part of the loss that is distance. */
export interface Softly {
  readonly loss: number;
  readonly distance: number;
  readonly gradient: Float64Array;
}

/** Squared distance of attention under these gates, which count as at least `floor`, from attention without, as a share of its energy, and
 * `lambda` times the regulariser. */
export function gated(
  { queries, values, valueDim, energy, tokens }: GateHead,
  gates: ArrayLike<number>,
  { lambda, window, floor }: Readonly<Record<"lambda" | "window" | "floor", number>>,
): Softly {
  const gradient = new Float64Array(gates.length);
  let distance = 0;
  const scale = energy > 0 ? 1 / energy : 0;
  for (const { older, weights, near, nearValues, teacher } of queries) {
    const out = nearValues.slice();
    let all = near;
    for (let j = 0; j < older; j++) {
      const w = (weights[j] ?? 0) * Math.max(gates[j] ?? 0, floor);
      all += w;
      for (let c = 0; c < valueDim; c++) out[c] = (out[c] ?? 0) + w * (values[j * valueDim + c] ?? 0);
    }
    let along = 0;
    const error = out.map((x, c) => x / all - (teacher[c] ?? 0));
    error.forEach((e, c) => {
      distance += e * e * scale;
      along += e * (out[c] ?? 0) / all;
    });
    for (let j = 0; j < older; j++) {
      let dot = -along;
      for (let c = 0; c < valueDim; c++) dot += (values[j * valueDim + c] ?? 0) * (error[c] ?? 0);
      gradient[j] = (gradient[j] ?? 0) + 2 * scale * dot * (weights[j] ?? 0) / all;
    }
  }
  const { cost, slopes } = regulariser(gates, tokens, window);
  slopes.forEach((x, j) => gradient[j] = (gradient[j] ?? 0) + lambda * x);
  return { loss: distance + lambda * cost, distance, gradient };
}

/** Mean over all tokens of o + (1 - o) (1 - (1 - g)^2), o = min(window / (tokens - j), 1); gates that are not given belong to tokens with
 * o = 1.
 *
 * ```ts
 * import { assertAlmostEquals } from "@std/assert";
 * assertAlmostEquals(regulariser([0.5, 0.5, 0.5, 0.5], 4, 2).cost, 0.94792, 1e-5);
 * ```
 */
export function regulariser(
  gates: ArrayLike<number>,
  tokens: number,
  window: number,
): { readonly cost: number; readonly slopes: Float64Array } {
  let cost = 0;
  const slopes = new Float64Array(gates.length);
  for (let j = 0; j < tokens; j++) {
    const own = Math.min(window / (tokens - j), 1);
    const closed = 1 - (gates[j] ?? 0);
    cost += (own + (1 - own) * (1 - closed * closed)) / tokens;
    if (j < slopes.length) slopes[j] = 2 * (1 - own) * closed / tokens;
  }
  return { cost, slopes };
}
