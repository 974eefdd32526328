/**
 * Ridge regression in closed form.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { addSquares, type Batches } from "./batches.ts";

/** w f64 [outputs, width] that minimises |x w^T - y|^2 + alpha |w|^2 for centred x and y; y f32 [count, outputs]. */
export async function ridge(data: Batches, y: Float32Array, outputs: number, alpha: number): Promise<E.Either<KvError, Float64Array>> {
  const { width } = data;
  const gram = new Float64Array(width * width);
  const right = new Float64Array(outputs * width);
  for (const batch of data.batches) {
    const added = await addSquares(data, batch, gram);
    if (E.isLeft(added)) return added;
    const count = batch.to - batch.from;
    for (let o = 0; o < outputs; o++) {
      for (let c = 0; c < width; c++) {
        let dot = 0;
        for (let i = 0; i < count; i++) dot += (batch.turned[c * count + i] ?? 0) * (y[(batch.from + i) * outputs + o] ?? 0);
        right[o * width + c] = (right[o * width + c] ?? 0) + dot;
      }
    }
  }
  for (let c = 0; c < width; c++) gram[c * width + c] = (gram[c * width + c] ?? 0) + alpha;
  return E.right(solve(gram, right, width));
}

/** x with gram x = b for every row b of `right`, by Cholesky's decomposition; gram f64 [n, n] is positive definite. */
export function solve(gram: Float64Array, right: Float64Array, n: number): Float64Array {
  const l = Float64Array.from(gram);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = l[i * n + j] ?? 0;
      for (let k = 0; k < j; k++) sum -= (l[i * n + k] ?? 0) * (l[j * n + k] ?? 0);
      l[i * n + j] = i === j ? Math.sqrt(sum) : sum / (l[j * n + j] ?? 1);
    }
  }
  const out = Float64Array.from(right);
  for (let at = 0; at < out.length; at += n) {
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) out[at + i] = (out[at + i] ?? 0) - (l[i * n + k] ?? 0) * (out[at + k] ?? 0);
      out[at + i] = (out[at + i] ?? 0) / (l[i * n + i] ?? 1);
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let k = i + 1; k < n; k++) out[at + i] = (out[at + i] ?? 0) - (l[k * n + i] ?? 0) * (out[at + k] ?? 0);
      out[at + i] = (out[at + i] ?? 0) / (l[i * n + i] ?? 1);
    }
  }
  return out;
}
