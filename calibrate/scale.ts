/**
 * Data at unit scale: surrogates are trained on inputs and targets of mean 0 and variance 1, and the scales are folded into their first
 * and last weights, so that what is stored takes hidden states as they are.
 * @module
 */

/** Mean and deviation per column. */
export interface Scale {
  readonly mean: Float64Array;
  readonly deviation: Float64Array;
}

/** Deviations below this share of the largest count as this: a channel that never moves must not get an endless weight. */
const LEAST = 1e-3;

/** Scale of the columns of x f32 [count, width]. */
export function scaleOf(x: Float32Array, width: number): Scale {
  const count = x.length / width;
  const mean = new Float64Array(width);
  const square = new Float64Array(width);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < width; c++) mean[c] = (mean[c] ?? 0) + (x[i * width + c] ?? 0) / count;
  }
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < width; c++) square[c] = (square[c] ?? 0) + ((x[i * width + c] ?? 0) - (mean[c] ?? 0)) ** 2 / count;
  }
  const deviation = square.map(Math.sqrt);
  const floor = Math.max(LEAST * deviation.reduce((a, b) => Math.max(a, b), 0), Number.MIN_VALUE);
  return { mean, deviation: deviation.map((d) => Math.max(d, floor)) };
}

/** (x - mean) / deviation, column by column, as a new array. */
export function standardised(x: Float32Array, { mean, deviation }: Scale): Float32Array {
  const width = mean.length;
  return x.map((value, i) => (value - (mean[i % width] ?? 0)) / (deviation[i % width] ?? 1));
}
