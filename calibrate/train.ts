/**
 * One layer's surrogate from its training pairs, in the form in which it is stored.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { Backend } from "../backends/backend.ts";
import type { KvError } from "../cache/error.ts";
import type { TensorToWrite } from "../model/safetensors.ts";
import { type Batches, freeBatches, loadBatches, multiplier, transposed } from "./batches.ts";
import { applyMlp, type Mlp, type MlpRecipe, trainMlp } from "./mlp.ts";
import type { Pairs } from "./pairs.ts";
import { squaredPearson } from "./pearson.ts";
import { ridge } from "./ridge.ts";
import { type Scale, scaleOf, standardised } from "./scale.ts";

/** Ridge penalty on data of unit variance, as published. */
export const ALPHA = 1;

/** Which surrogate, and how it is fitted. */
export type Kind = { readonly _tag: "Linear"; readonly alpha: number } | {
  readonly _tag: "Mlp";
  readonly inner: number;
  readonly recipe: MlpRecipe;
};

/** A trained layer. */
export interface LayerFit {
  /** Under the published names, without the layer: `weight`, or `0.weight` and so on. */
  readonly tensors: ReadonlyArray<TensorToWrite>;
  /** Squared Pearson correlation per set of held-out pairs and head. */
  readonly heldOut: ReadonlyArray<ReadonlyArray<number>>;
  /** The same on the training pairs. */
  readonly trained: ReadonlyArray<number>;
  /** Mean loss per epoch, in variances of the target; none for a linear fit. */
  readonly losses: ReadonlyArray<number>;
  /** Predictions for the first set of held-out pairs, f32 [count, heads]. */
  readonly predicted: Float32Array;
}

/** Trains on `train`, reports on every set of `heldOut`; `label` names the random numbers. */
export async function trainLayer(
  backend: Backend,
  kind: Kind,
  train: Pairs,
  heldOut: ReadonlyArray<Pairs>,
  label: string,
): Promise<E.Either<KvError, LayerFit>> {
  const [input, output] = [scaleOf(train.x, train.width), scaleOf(train.y, train.heads)];
  const predicted = (fit: Fit) => (pairs: Pairs) => withBatches(backend, input, pairs, (data) => predict(fit, data));
  const fitted = await withBatches(backend, input, train, async (data): Promise<E.Either<KvError, readonly [Fit, Float32Array]>> => {
    const fit = await fitOf(kind, data, standardised(train.y, output), train.heads, label);
    const own = E.isLeft(fit) ? fit : await predict(fit.right, data);
    return E.isLeft(fit) ? fit : E.map((y: Float32Array) => [fit.right, y] as const)(own);
  });
  if (E.isLeft(fitted)) return fitted;
  const [fit, own] = fitted.right;
  const held: Float32Array[] = [];
  for (const pairs of heldOut) {
    const y = await predicted(fit)(pairs);
    if (E.isLeft(y)) return y;
    held.push(y.right);
  }
  const tensors = "mlp" in fit ? foldMlp(fit.mlp, input, output) : foldLinear(fit.weight, input, output);
  if (!tensors.every(({ numbers }) => numbers.every(Number.isFinite))) return diverged(kind, label);
  return E.right({
    tensors,
    heldOut: heldOut.map(({ y, heads }, i) => squaredPearson(held[i] ?? new Float32Array(), y, heads)),
    trained: squaredPearson(own, train.y, train.heads),
    losses: "losses" in fit ? fit.losses : [],
    predicted: (held[0] ?? new Float32Array()).map((v, i) =>
      v * (output.deviation[i % train.heads] ?? 1) + (output.mean[i % train.heads] ?? 0)
    ),
  });
}

const diverged = (kind: Kind, label: string): E.Either<KvError, never> =>
  E.left({
    _tag: "Unsupported",
    what: kind._tag === "Mlp" ? `learning rate ${kind.recipe.rate}` : `ridge penalty ${kind.alpha}`,
    where: label,
    because: `the fit has ${kind._tag === "Mlp" ? "diverged; take a lower one" : "no single solution; take a higher one"}`,
  });

/** Uses pairs at unit scale where the backend multiplies them, and frees them. */
async function withBatches<A>(
  backend: Backend,
  input: Scale,
  { x, width }: Pairs,
  use: (data: Batches) => Promise<E.Either<KvError, A>>,
): Promise<E.Either<KvError, A>> {
  const data = loadBatches(backend, standardised(x, input), width);
  if (E.isLeft(data)) return data;
  const result = await use(data.right);
  freeBatches(data.right);
  return result;
}

type Fit = { readonly weight: Float64Array } | { readonly mlp: Mlp; readonly losses: ReadonlyArray<number> };

const fitOf = async (kind: Kind, data: Batches, y: Float32Array, heads: number, label: string): Promise<E.Either<KvError, Fit>> =>
  kind._tag === "Linear"
    ? E.map((weight: Float64Array): Fit => ({ weight }))(await ridge(data, y, heads, kind.alpha))
    : await trainMlp(data, y, { inner: kind.inner, outputs: heads }, kind.recipe, label);

const predict = (fit: Fit, data: Batches): Promise<E.Either<KvError, Float32Array>> =>
  "mlp" in fit ? applyMlp(fit.mlp, data) : applyLinear(fit.weight, data);

/** y f32 [count, outputs]. */
async function applyLinear(weight: Float64Array, data: Batches): Promise<E.Either<KvError, Float32Array>> {
  const outputs = weight.length / data.width;
  const y = new Float32Array((data.batches.at(-1)?.to ?? 0) * outputs);
  for (const batch of data.batches) {
    const made = await multiplier(data, batch, outputs);
    if (E.isLeft(made)) return made;
    const part = await made.right.forward(Float32Array.from(weight));
    made.right.close();
    if (E.isLeft(part)) return part;
    y.set(transposed(part.right, batch.to - batch.from), batch.from * outputs);
  }
  return E.right(y);
}

/** Weights for hidden states as they are: y = D (W (x - m) / d) + M. */
function foldLinear(weight: Float64Array, input: Scale, output: Scale): ReadonlyArray<TensorToWrite> {
  const [width, heads] = [input.mean.length, output.mean.length];
  const w = new Float32Array(weight.length);
  const b = Float64Array.from(output.mean);
  for (let h = 0; h < heads; h++) {
    for (let c = 0; c < width; c++) {
      const x = (weight[h * width + c] ?? 0) * (output.deviation[h] ?? 1) / (input.deviation[c] ?? 1);
      w[h * width + c] = x;
      b[h] = (b[h] ?? 0) - x * (input.mean[c] ?? 0);
    }
  }
  return [
    { name: "weight", type: "F32", shape: [heads, width], numbers: w },
    { name: "bias", type: "F32", shape: [heads], numbers: Float32Array.from(b) },
  ];
}

/** The same for both ends of an MLP. */
function foldMlp({ inner, w1, b1, w2, b2 }: Mlp, input: Scale, output: Scale): ReadonlyArray<TensorToWrite> {
  const [width, heads] = [input.mean.length, output.mean.length];
  const first = w1.map((w, i) => w / (input.deviation[i % width] ?? 1));
  const bias = Float32Array.from(b1, (b, u) => {
    let sum = b;
    for (let c = 0; c < width; c++) sum -= (first[u * width + c] ?? 0) * (input.mean[c] ?? 0);
    return sum;
  });
  const last = w2.map((w, i) => w * (output.deviation[Math.floor(i / inner)] ?? 1));
  const end = b2.map((b, h) => b * (output.deviation[h] ?? 1) + (output.mean[h] ?? 0));
  return [
    { name: "0.weight", type: "F16", shape: [inner, width], numbers: first },
    { name: "0.bias", type: "F16", shape: [inner], numbers: bias },
    { name: "2.weight", type: "F16", shape: [heads, inner], numbers: last },
    { name: "2.bias", type: "F16", shape: [heads], numbers: end },
  ];
}
