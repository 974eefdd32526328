/**
 * The MLP surrogate of one layer and its training: y = W2 gelu(W1 x + b1) + b2, exact GELU, mean squared error, AdamW, cosine schedule.
 *
 * Source: KVzap, arXiv 2601.07891, section 3.2 and its training code. Departures: data at unit scale (see `scale.ts`), batches keep their
 * members and change their order, gradients are clipped per layer, fewer epochs and a stronger decay (see {@link RECIPE}).
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import { randomOf } from "../conformance/random.ts";
import { adamw, type Moments, noMoments } from "./adamw.ts";
import { type Batches, type Multiplier, multiplier } from "./batches.ts";
import { shuffled } from "./prompts.ts";

/** Weights of one layer. */
export interface Mlp {
  readonly inner: number;
  /** f32 [inner, width] */
  readonly w1: Float32Array;
  /** f32 [inner] */
  readonly b1: Float32Array;
  /** f32 [outputs, inner] */
  readonly w2: Float32Array;
  /** f32 [outputs] */
  readonly b2: Float32Array;
}

/** How to train. */
export interface MlpRecipe {
  readonly epochs: number;
  readonly rate: number;
  /** Weight decay of AdamW. */
  readonly decay: number;
  /** Longest gradient. */
  readonly clip: number;
  readonly seed: number;
}

/** Rate, clip and schedule are the published ones; on a tenth of the published texts eight epochs with a decay of 2 generalise better than
 * fifteen with 0.01. */
export const RECIPE: Omit<MlpRecipe, "seed"> = { epochs: 8, rate: 5e-3, decay: 2, clip: 1 };

/** Weights, and the mean loss of each epoch. */
export interface Trained {
  readonly mlp: Mlp;
  readonly losses: ReadonlyArray<number>;
}

/** Trains on all batches; y f32 [count, outputs]. `label` names the random numbers. */
export async function trainMlp(
  data: Batches,
  y: Float32Array,
  sizes: { readonly inner: number; readonly outputs: number },
  recipe: MlpRecipe,
  label: string,
): Promise<E.Either<KvError, Trained>> {
  const multipliers: Multiplier[] = [];
  const close = (): void => multipliers.forEach((one) => one.close());
  for (const batch of data.batches) {
    const made = await multiplier(data, batch, sizes.inner);
    if (E.isLeft(made)) return close(), made;
    multipliers.push(made.right);
  }
  const random = randomOf(label, recipe.seed);
  const mlp = initial(random.uniform, sizes.inner, data.width, sizes.outputs);
  const parts = [mlp.w1, mlp.b1, mlp.w2, mlp.b2];
  const moments: ReadonlyArray<Moments> = parts.map((p) => noMoments(p.length));
  const losses: number[] = [];
  let steps = 0;
  for (let epoch = 0; epoch < recipe.epochs; epoch++) {
    const rate = recipe.rate * (1 + Math.cos(Math.PI * epoch / recipe.epochs)) / 2;
    let total = 0;
    for (const i of shuffled(random, [...data.batches.keys()])) {
      const [batch, multiply] = [data.batches[i], multipliers[i]];
      if (batch === undefined || multiply === undefined) continue;
      const gradient = await gradientOf(mlp, multiply, y.subarray(batch.from * sizes.outputs, batch.to * sizes.outputs));
      if (E.isLeft(gradient)) return close(), gradient;
      steps++;
      adamw(parts, gradient.right.parts, moments, { ...recipe, rate, step: steps });
      total += gradient.right.loss * (batch.to - batch.from);
    }
    losses.push(total / (y.length / sizes.outputs));
  }
  close();
  return E.right({ mlp, losses });
}

/** Uniform within 1 / sqrt(inputs), weights and biases, as the common linear layer starts. */
function initial(uniform: () => number, inner: number, width: number, outputs: number): Mlp {
  const fill = (count: number, inputs: number): Float32Array =>
    Float32Array.from({ length: count }, () => (2 * uniform() - 1) / Math.sqrt(inputs));
  return { inner, w1: fill(inner * width, width), b1: fill(inner, width), w2: fill(outputs * inner, inner), b2: fill(outputs, inner) };
}

/** Gradients in the order w1, b1, w2, b2. */
interface Gradient {
  readonly loss: number;
  readonly parts: ReadonlyArray<Float32Array>;
}

async function gradientOf(mlp: Mlp, multiply: Multiplier, y: Float32Array): Promise<E.Either<KvError, Gradient>> {
  const { inner, w1, b1, w2, b2 } = mlp;
  const outputs = b2.length;
  const count = y.length / outputs;
  const product = await multiply.forward(w1);
  if (E.isLeft(product)) return product;
  const z = product.right;
  const [a, slope] = [new Float32Array(z.length), new Float32Array(z.length)];
  activate(z, b1, count, a, slope);
  const error = new Float32Array(outputs * count);
  let loss = 0;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < count; i++) error[o * count + i] = (b2[o] ?? 0) - (y[i * outputs + o] ?? 0);
    for (let u = 0; u < inner; u++) {
      const w = w2[o * inner + u] ?? 0;
      for (let i = 0; i < count; i++) error[o * count + i] = (error[o * count + i] ?? 0) + w * (a[u * count + i] ?? 0);
    }
  }
  for (let i = 0; i < error.length; i++) {
    loss += (error[i] ?? 0) ** 2 / error.length;
    error[i] = 2 * (error[i] ?? 0) / error.length;
  }
  const [g1, g2, h2] = [new Float32Array(inner), new Float32Array(outputs * inner), new Float32Array(outputs)];
  for (let o = 0; o < outputs; o++) for (let i = 0; i < count; i++) h2[o] = (h2[o] ?? 0) + (error[o * count + i] ?? 0);
  // The activations are done with once their gradient is known: dz takes their place.
  for (let u = 0; u < inner; u++) {
    for (let o = 0; o < outputs; o++) {
      let dot = 0;
      for (let i = 0; i < count; i++) dot += (error[o * count + i] ?? 0) * (a[u * count + i] ?? 0);
      g2[o * inner + u] = dot;
    }
    let sum = 0;
    for (let i = 0; i < count; i++) {
      let back = 0;
      for (let o = 0; o < outputs; o++) back += (w2[o * inner + u] ?? 0) * (error[o * count + i] ?? 0);
      a[u * count + i] = back * (slope[u * count + i] ?? 0);
      sum += a[u * count + i] ?? 0;
    }
    g1[u] = sum;
  }
  const first = await multiply.backward(a);
  return E.isLeft(first) ? first : E.right({ loss, parts: [first.right, g1, g2, h2] });
}

/** a = gelu(z + b), slope = its derivative; z [inner, count]. */
function activate(z: Float32Array, b: Float32Array, count: number, a: Float32Array, slope: Float32Array): void {
  for (let u = 0; u < b.length; u++) {
    for (let i = u * count; i < (u + 1) * count; i++) {
      const x = (z[i] ?? 0) + (b[u] ?? 0);
      const below = normal(x);
      a[i] = x * below;
      slope[i] = below + x * Math.exp(-x * x / 2) * 0.3989422804014327;
    }
  }
}

/** The normal distribution function, within 8e-8: Abramowitz and Stegun, formula 7.1.26, for erf. */
export function normal(x: number): number {
  const u = Math.abs(x) * Math.SQRT1_2;
  const t = 1 / (1 + 0.3275911 * u);
  const tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-u * u) / 2;
  return x < 0 ? tail : 1 - tail;
}

/** y f32 [count, outputs] of x f32 [count, width] given as batches. */
export async function applyMlp(mlp: Mlp, data: Batches): Promise<E.Either<KvError, Float32Array>> {
  const outputs = mlp.b2.length;
  const y = new Float32Array((data.batches.at(-1)?.to ?? 0) * outputs);
  for (const batch of data.batches) {
    const count = batch.to - batch.from;
    const made = await multiplier(data, batch, mlp.inner);
    if (E.isLeft(made)) return made;
    const z = await made.right.forward(mlp.w1);
    made.right.close();
    if (E.isLeft(z)) return z;
    const a = new Float32Array(z.right.length);
    activate(z.right, mlp.b1, count, a, new Float32Array(a.length));
    for (let i = 0; i < count; i++) {
      for (let o = 0; o < outputs; o++) {
        let dot = mlp.b2[o] ?? 0;
        for (let u = 0; u < mlp.inner; u++) dot += (mlp.w2[o * mlp.inner + u] ?? 0) * (a[u * count + i] ?? 0);
        y[(batch.from + i) * outputs + o] = dot;
      }
    }
  }
  return E.right(y);
}
