/**
 * KVTC's calibration (arXiv 2511.01815, section 3): principal components of the rows of a model over texts, and the errors of every way to
 * quantise a group of them, from which bit plans for any ratio are made. Sinks are left out, as their rows are like no others.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type * as TE from "fp-ts/TaskEither.js";
import type { Backend } from "../backends/backend.ts";
import { type CoefficientType, groupSizes } from "../cache/bit_plan.ts";
import { dequantised, measureGroup, quantised } from "../cache/coefficients.ts";
import type { KvError } from "../cache/error.ts";
import type { Model } from "../model/model.ts";
import { disposeSession, prefill } from "../model/session.ts";
import type { TensorToWrite } from "../model/safetensors.ts";
import { measuredTypes, type Stream, streams, widthOf } from "../model/transform.ts";
import { anglesFor, gatherTokens, type Work } from "../model/transform_group.ts";
import { wordsOf } from "../model/transform_split.ts";
import { keepAll } from "../papers/mod.ts";
import { tiersIn } from "../run/cache_table.ts";
import { takeOut } from "../run/save.ts";
import { addSquares, freeBatches, loadBatches } from "./batches.ts";
import { symmetricEigen } from "./eigen.ts";

/** What is calibrated, and on what. */
export interface Calibration {
  /** Texts as ids, each at most the context. */
  readonly prompts: ReadonlyArray<ReadonlyArray<number>>;
  /** Neighbouring layers that are transformed together. */
  readonly layersPerGroup: number;
  /** Most components that are kept, as a share of the width. */
  readonly rank: number;
  /** Rows on which quantisers are measured. */
  readonly samples: number;
  readonly progress?: (label: string, done: number, total: number) => void;
}

/** Positions that are left out. */
const SINKS = 4;

/** What the rows of one group of layers add up to, of keys or of values. */
interface Sums {
  readonly stream: Stream;
  readonly from: number;
  readonly to: number;
  readonly width: number;
  readonly total: Float64Array;
  /** Sum of x x^T, f64 [width, width]. */
  readonly squares: Float64Array;
  /** f32 [width] each. */
  readonly samples: Float32Array[];
  count: number;
}

/** The tensors of a file that `readTransforms` reads. The same prompts on the same backend give the same tensors. */
export const calibrateTransforms = (model: Model, of: Calibration): TE.TaskEither<KvError, ReadonlyArray<TensorToWrite>> => async () => {
  const { layers } = model.spec.shape;
  const { prompts, layersPerGroup: per, progress = () => {} } = of;
  const sums = Array.from({ length: Math.ceil(layers.length / per) }, (_, g) => g).flatMap((g) =>
    streams.map((stream): Sums => {
      const [from, to] = [g * per, Math.min(layers.length, (g + 1) * per)];
      const width = widthOf(layers.slice(from, to), stream);
      return { stream, from, to, width, total: new Float64Array(width), squares: new Float64Array(width * width), samples: [], count: 0 };
    })
  );
  for (const [i, tokens] of prompts.entries()) {
    const added = await addPrompt(model, sums, tokens, Math.ceil(of.samples / prompts.length));
    if (E.isLeft(added)) return added;
    progress("reading texts", i + 1, prompts.length);
  }
  const tensors: TensorToWrite[] = [];
  for (const [i, one] of sums.entries()) {
    tensors.push(...componentsOf(one, Math.floor(i / 2), Math.max(1, Math.ceil(one.width * of.rank))));
    // The next component takes seconds, and whoever watches wants to see the bar.
    await new Promise((resolve) => setTimeout(resolve, 0));
    progress("finding components", i + 1, sums.length);
  }
  return E.right(tensors);
};

async function addPrompt(
  model: Model,
  sums: ReadonlyArray<Sums>,
  tokens: ReadonlyArray<number>,
  samples: number,
): Promise<E.Either<KvError, void>> {
  const { shape } = model.spec;
  const session = await prefill(model, keepAll)(tokens)();
  if (E.isLeft(session)) return session;
  const saved = await takeOut(model.memory)(session.right.cache)();
  disposeSession(session.right)();
  if (E.isLeft(saved)) return saved;
  const { table, parts } = saved.right;
  const split = tiersIn(table, shape, parts).tiers.map((tier) => ({ tier, positions: wordsOf(tier.parts[0]) }));
  const work: Work = {
    memory: model.memory,
    shape,
    coding: { ratio: 1, sinks: SINKS, recent: 0 },
    table,
    split,
    angles: anglesFor(table, -1),
  };
  for (const one of sums) {
    const gathered = await gatherTokens(work, one, one.stream)();
    if (E.isLeft(gathered)) return gathered;
    const { x, tokens: count } = gathered.right;
    const added = await addTokens(model.backend, one, x);
    if (E.isLeft(added)) return added;
    for (let i = 0; i < x.length; i++) one.total[i % one.width] = (one.total[i % one.width] ?? 0) + (x[i] ?? 0);
    one.count += count;
    const step = Math.max(1, Math.floor(count / samples));
    for (let t = step >> 1, taken = 0; t < count && taken < samples; t += step, taken++) {
      one.samples.push(x.slice(t * one.width, (t + 1) * one.width));
    }
  }
  return E.right(undefined);
}

async function addTokens(backend: Backend, { width, squares }: Sums, x: Float32Array): Promise<E.Either<KvError, void>> {
  const data = loadBatches(backend, x, width);
  if (E.isLeft(data)) return data;
  try {
    for (const batch of data.right.batches) {
      const added = await addSquares(data.right, batch, squares);
      if (E.isLeft(added)) return added;
    }
    return E.right(undefined);
  } finally {
    freeBatches(data.right);
  }
}

/** Mean, basis, energies and errors of one group. */
function componentsOf({ stream, width, total, squares, samples, count }: Sums, group: number, rank: number): ReadonlyArray<TensorToWrite> {
  const mean = Float32Array.from(total, (sum) => sum / Math.max(1, count));
  const covariance = squares.map((sum, i) => sum / Math.max(1, count) - (mean[Math.floor(i / width)] ?? 0) * (mean[i % width] ?? 0));
  const { vectors } = symmetricEigen(covariance, width);
  // As they are stored, so that errors are those of what decodes.
  const basis = new Float32Array(new Float16Array(vectors.subarray(0, rank * width)));
  const rows = samples.map((x) => {
    const d = new Float32Array(rank);
    for (let k = 0; k < rank; k++) {
      let sum = 0;
      for (let c = 0; c < width; c++) sum += ((x[c] ?? 0) - (mean[c] ?? 0)) * (basis[k * width + c] ?? 0);
      d[k] = sum;
    }
    return d;
  });
  const energy = Float32Array.from({ length: rank }, (_, k) => rows.reduce((sum, d) => sum + (d[k] ?? 0) ** 2, 0));
  const name = (part: string): string => `${stream}.${group}.${part}`;
  return [
    { name: name("mean"), type: "F32", shape: [width], numbers: mean },
    { name: name("basis"), type: "F16", shape: [rank, width], numbers: basis },
    { name: name("energy"), type: "F32", shape: [rank], numbers: energy },
    { name: name("error"), type: "F32", shape: [measuredTypes.length, groupSizes.length, rank], numbers: errorsOf(rows, rank) },
  ];
}

/** Squared errors by type, size and end of a group; 0 where there is no such group. */
function errorsOf(rows: ReadonlyArray<Float32Array>, rank: number): Float32Array {
  const out = new Float32Array(measuredTypes.length * groupSizes.length * rank);
  const pair = new Float16Array(2);
  let at = 0;
  for (const type of measuredTypes) {
    for (const size of groupSizes) {
      for (let end = 1; end <= rank; end++, at++) {
        if (size > end) continue;
        let sum = 0;
        for (const d of rows) {
          sum += errorOf(d, end - size, end, type, pair);
        }
        out[at] = sum;
      }
    }
  }
  return out;
}

function errorOf(d: Float32Array, from: number, end: number, type: CoefficientType, pair: Float16Array): number {
  measureGroup(d, from, end - from, type, pair);
  const [scale = 0, shift = 0] = pair;
  let sum = 0;
  for (let i = from; i < end; i++) sum += ((d[i] ?? 0) - dequantised(type, quantised(type, d[i] ?? 0, scale, shift), scale, shift)) ** 2;
  return sum;
}
