/**
 * A gate of Write-Gated KV for one KV head, trained by local distillation: the head's own attention output under soft gates must stay what
 * it is without, and the gates must be few. The paper trains all gates at once through the whole model; this needs no backward pass of it.
 *
 * Source: arXiv 2512.17452, soft gates and the regulariser as in the authors' code; the distance is that of one head's output, relative
 * to its energy. The scales of the two norms stay 1: the first layer takes them in.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Backend } from "../backends/backend.ts";
import type { KvError } from "../cache/error.ts";
import { randomOf } from "../conformance/random.ts";
import { adamw, type Moments, noMoments } from "./adamw.ts";
import { freeBatches, loadBatches, type Multiplier, multiplier } from "./batches.ts";
import type { GateHead } from "./gate_head.ts";
import { gated, least, type Softly } from "./gate_loss.ts";
import { normal } from "./mlp.ts";
import { shuffled } from "./prompts.ts";

/** The network of one KV head: sigmoid(w2 gelu(W1 x + b1) + b2), x the two normalised keys. */
export interface Gate {
  readonly inner: number;
  /** f32 [inner, 2 keyDim] */
  readonly w1: Float32Array;
  /** f32 [inner] */
  readonly b1: Float32Array;
  /** f32 [inner] */
  readonly w2: Float32Array;
  /** f32 [1] */
  readonly b2: Float32Array;
}

/** How to train. */
export interface GateRecipe {
  readonly inner: number;
  readonly epochs: number;
  readonly rate: number;
  readonly decay: number;
  readonly clip: number;
  /** Weight of the regulariser: larger is fewer rows. */
  readonly lambda: number;
  readonly window: number;
  readonly seed: number;
}

/** A trained gate, and the mean loss of each epoch. */
export interface GateFit {
  readonly gate: Gate;
  readonly losses: ReadonlyArray<number>;
}

/** Products with the inputs of one text, batch by batch. */
interface Ready {
  readonly head: GateHead;
  readonly parts: ReadonlyArray<{ readonly from: number; readonly to: number; readonly multiply: Multiplier }>;
}

/** Trains on all texts, one text a step. */
export async function trainGate(
  backend: Backend,
  texts: ReadonlyArray<GateHead>,
  recipe: GateRecipe,
  label: string,
): Promise<E.Either<KvError, GateFit>> {
  const closing: (() => void)[] = [];
  const close = (): void => closing.toReversed().forEach((one) => one());
  const ready: Ready[] = [];
  for (const head of texts) {
    const one = await readied(backend, head, recipe.inner, closing);
    if (E.isLeft(one)) return close(), one;
    ready.push(one.right);
  }
  const random = randomOf(label, recipe.seed);
  const width = texts[0]?.width ?? 0;
  const gate = initial(random.uniform, recipe.inner, width);
  const parts = [gate.w1, gate.b1, gate.w2, gate.b2];
  const moments: ReadonlyArray<Moments> = parts.map((p) => noMoments(p.length));
  const losses: number[] = [];
  let steps = 0;
  const all = recipe.epochs * texts.length;
  for (let epoch = 0; epoch < recipe.epochs; epoch++) {
    let total = 0;
    for (const one of shuffled(random, ready)) {
      const stepped = await gradientOf(gate, one, recipe);
      if (E.isLeft(stepped)) return close(), stepped;
      const rate = recipe.rate * (1 + Math.cos(Math.PI * steps / all)) / 2;
      steps++;
      adamw(parts, stepped.right.parts, moments, { ...recipe, rate, step: steps });
      total += stepped.right.loss / ready.length;
    }
    losses.push(total);
  }
  close();
  return E.right({ gate, losses });
}

/** Gates of a text's rows, f32, without training. */
export async function gatesOf(backend: Backend, gate: Gate, head: GateHead): Promise<E.Either<KvError, Float32Array>> {
  const closing: (() => void)[] = [];
  const ready = await readied(backend, head, gate.inner, closing);
  const passed = E.isLeft(ready) ? ready : await forward(gate, ready.right);
  closing.toReversed().forEach((one) => one());
  return E.isLeft(passed) ? passed : E.right(passed.right.gates);
}

async function readied(backend: Backend, head: GateHead, inner: number, closing: (() => void)[]): Promise<E.Either<KvError, Ready>> {
  const data = loadBatches(backend, head.inputs, head.width);
  if (E.isLeft(data)) return data;
  closing.push(() => freeBatches(data.right));
  const parts: { readonly from: number; readonly to: number; readonly multiply: Multiplier }[] = [];
  for (const batch of data.right.batches) {
    const multiply = await multiplier(data.right, batch, inner);
    if (E.isLeft(multiply)) return multiply;
    closing.push(multiply.right.close);
    parts.push({ from: batch.from, to: batch.to, multiply: multiply.right });
  }
  return E.right({ head, parts });
}

/** Uniform within 1 / sqrt(inputs); the bias of the end opens gates at first, so that what is closed was closed for a reason. */
function initial(uniform: () => number, inner: number, width: number): Gate {
  const fill = (count: number, inputs: number): Float32Array =>
    Float32Array.from({ length: count }, () => (2 * uniform() - 1) / Math.sqrt(inputs));
  return { inner, w1: fill(inner * width, width), b1: fill(inner, width), w2: fill(inner, inner), b2: Float32Array.of(1) };
}

/** Activations of a pass, [inner, count] per part. */
interface Passed {
  readonly gates: Float32Array;
  readonly activations: ReadonlyArray<Float32Array>;
  readonly slopes: ReadonlyArray<Float32Array>;
}

async function forward({ inner, w1, b1, w2, b2 }: Gate, { head, parts }: Ready): Promise<E.Either<KvError, Passed>> {
  const gates = new Float32Array(head.inputs.length / head.width);
  const [activations, slopes]: [Float32Array[], Float32Array[]] = [[], []];
  for (const { from, to, multiply } of parts) {
    const product = await multiply.forward(w1);
    if (E.isLeft(product)) return product;
    const count = to - from;
    const [a, slope, end] = [new Float32Array(inner * count), new Float32Array(inner * count), new Float64Array(count).fill(b2[0] ?? 0)];
    for (let u = 0; u < inner; u++) {
      const [bias, w] = [b1[u] ?? 0, w2[u] ?? 0];
      for (let i = 0; i < count; i++) {
        const x = (product.right[u * count + i] ?? 0) + bias;
        const below = normal(x);
        a[u * count + i] = x * below;
        slope[u * count + i] = below + x * Math.exp(-x * x / 2) * 0.3989422804014327;
        end[i] = (end[i] ?? 0) + w * x * below;
      }
    }
    end.forEach((z, i) => gates[from + i] = 1 / (1 + Math.exp(-z)));
    activations.push(a);
    slopes.push(slope);
  }
  return E.right({ gates, activations, slopes });
}

async function gradientOf(
  gate: Gate,
  ready: Ready,
  { lambda, window }: GateRecipe,
): Promise<E.Either<KvError, { readonly loss: number; readonly parts: ReadonlyArray<Float32Array> }>> {
  const passed = await forward(gate, ready);
  if (E.isLeft(passed)) return passed;
  const { gates, activations, slopes } = passed.right;
  const soft: Softly = gated(ready.head, gates, { lambda, window, floor: least });
  const { inner, w1, w2 } = gate;
  const [g1, h1, g2, h2] = [new Float32Array(w1.length), new Float32Array(inner), new Float32Array(inner), new Float32Array(1)];
  for (const [p, { from, to, multiply }] of ready.parts.entries()) {
    const [a, slope, count] = [activations[p], slopes[p], to - from];
    if (a === undefined || slope === undefined) continue;
    // Gates are floored while they are trained: below the floor nothing flows back.
    const dz = Float32Array.from({ length: count }, (_, i) => {
      const g = gates[from + i] ?? 0;
      return g < least ? 0 : (soft.gradient[from + i] ?? 0) * g * (1 - g);
    });
    for (let i = 0; i < count; i++) h2[0] = (h2[0] ?? 0) + (dz[i] ?? 0);
    for (let u = 0; u < inner; u++) {
      let [dot, sum] = [0, 0];
      for (let i = 0; i < count; i++) {
        dot += (dz[i] ?? 0) * (a[u * count + i] ?? 0);
        const back = (dz[i] ?? 0) * (w2[u] ?? 0) * (slope[u * count + i] ?? 0);
        a[u * count + i] = back;
        sum += back;
      }
      g2[u] = (g2[u] ?? 0) + dot;
      h1[u] = (h1[u] ?? 0) + sum;
    }
    const first = await multiply.backward(a);
    if (E.isLeft(first)) return first;
    first.right.forEach((x, i) => g1[i] = (g1[i] ?? 0) + x);
  }
  return E.right({ loss: soft.loss, parts: [g1, h1, g2, h2] });
}
