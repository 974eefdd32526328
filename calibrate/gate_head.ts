/**
 * One KV head of a text, as the training of its gate wants it: inputs of the gates, and what attention was without any.
 * @module
 */
import type { LayerShape } from "../cache/shape.ts";
import { ropeTable } from "../cache/rope.ts";
import type { GateText } from "./gate_rows.ts";

/** A query of the group of the head: its attention split at the window. */
export interface GateQuery {
  /** Rows older than the window. */
  readonly older: number;
  /** e^(logit - largest) of the older rows, f32 [older]. */
  readonly weights: Float32Array;
  /** Sum of the same over the rows inside the window. */
  readonly near: number;
  /** Sum of the values inside the window by these weights, f64 [valueDim]. */
  readonly nearValues: Float64Array;
  /** Attention without gates, f64 [valueDim]. */
  readonly teacher: Float64Array;
}

/** What a gate is trained on. */
export interface GateHead {
  readonly tokens: number;
  /** Numbers per input: two keys. */
  readonly width: number;
  /** Of every row that some query may see from afar: its normalised key before and after rotation, f32 [tokens - window, width]. */
  readonly inputs: Float32Array;
  /** f32 [tokens, valueDim] */
  readonly values: Float32Array;
  readonly valueDim: number;
  readonly queries: ReadonlyArray<GateQuery>;
  /** Sum of the squares of all that teachers give. */
  readonly energy: number;
}

/** Head `h` of layer `l` of a text. */
export function gateHead(text: GateText, shape: LayerShape, l: number, h: number, window: number): GateHead {
  const { tokens, queryPositions, layers } = text;
  const rows = layers[l];
  const { keyDim, valueDim, queryHeads, kvHeads, scale } = shape;
  const part = (all: Float16Array | undefined, dim: number): Float32Array =>
    Float32Array.from(all?.subarray(h * tokens * dim, (h + 1) * tokens * dim) ?? []);
  const [keys, values] = [part(rows?.keys, keyDim), part(rows?.values, valueDim)];
  const group = queryHeads / kvHeads;
  const queries = queryPositions.flatMap((position, s) =>
    Array.from({ length: group }, (_, g) => {
      const from = (s * queryHeads + h * group + g) * keyDim;
      return queryOf(Float32Array.from(rows?.queries.subarray(from, from + keyDim) ?? []), keys, values, position, {
        window,
        scale,
        valueDim,
      });
    })
  );
  const energy = queries.reduce((sum, q) => sum + q.teacher.reduce((s, x) => s + x * x, 0), 0);
  return { tokens, width: 2 * keyDim, inputs: inputsOf(keys, shape, tokens - window), values, valueDim, queries, energy };
}

function queryOf(
  q: Float32Array,
  keys: Float32Array,
  values: Float32Array,
  position: number,
  { window, scale, valueDim }: { readonly window: number; readonly scale: number; readonly valueDim: number },
): GateQuery {
  const dim = q.length;
  const logits = Float64Array.from({ length: position + 1 }, (_, j) => {
    let dot = 0;
    for (let c = 0; c < dim; c++) dot += (q[c] ?? 0) * (keys[j * dim + c] ?? 0);
    return dot * scale;
  });
  const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = Float32Array.from(logits, (x) => Math.exp(x - top));
  const older = Math.max(0, position + 1 - window);
  const weighted = (from: number, to: number): Float64Array => {
    const sum = new Float64Array(valueDim);
    for (let j = from; j < to; j++) {
      for (let c = 0; c < valueDim; c++) sum[c] = (sum[c] ?? 0) + (weights[j] ?? 0) * (values[j * valueDim + c] ?? 0);
    }
    return sum;
  };
  const total = (from: number, to: number): number => weights.subarray(from, to).reduce((a, b) => a + b, 0);
  const [near, nearValues, farValues] = [total(older, position + 1), weighted(older, position + 1), weighted(0, older)];
  const all = near + total(0, older);
  return { older, weights: weights.slice(0, older), near, nearValues, teacher: nearValues.map((x, c) => (x + (farValues[c] ?? 0)) / all) };
}

/** RMS-normalised keys, before rotation and after. */
function inputsOf(keys: Float32Array, { keyDim, rope }: LayerShape, count: number): Float32Array {
  const table = ropeTable(rope, 0, count);
  const inputs = new Float32Array(count * 2 * keyDim);
  const half = rope.dims / 2;
  for (let t = 0; t < count; t++) {
    const after = keys.subarray(t * keyDim, (t + 1) * keyDim);
    const before = after.slice();
    for (let i = 0; i < half; i++) {
      const [cos, sin] = [table[t * rope.dims + i] ?? 1, table[t * rope.dims + half + i] ?? 0];
      const [a, b] = [after[i] ?? 0, after[i + half] ?? 0];
      before[i] = a * cos + b * sin;
      before[i + half] = b * cos - a * sin;
    }
    for (const [k, key] of [before, after].entries()) {
      const size = Math.sqrt(key.reduce((sum, x) => sum + x * x, 0) / keyDim + 1e-6);
      for (let c = 0; c < keyDim; c++) inputs[(2 * t + k) * keyDim + c] = (key[c] ?? 0) / size;
    }
  }
  return inputs;
}
