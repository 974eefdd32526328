/**
 * What values write: for each query head q the matrix W_q^T W_q, where W_q [hidden, valueDim] is the head's slice of the output
 * projection, so that |W_q v|^2 = v^T (W_q^T W_q) v costs valueDim^2 instead of hidden * valueDim.
 * @module
 */
import { pipe } from "fp-ts/function.js";
import * as TE from "fp-ts/TaskEither.js";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import { bound, emit, emptyDraft, finish, weight } from "../plan/draft.ts";
import { NONE } from "../backends/program.ts";
import { bytesIn, readNumbers, runOnce, wholly, withScratch } from "../run/scratch.ts";
import type { Model } from "./model.ts";

/** Per layer f32 [queryHeads, valueDim, valueDim]. */
export const outputGrams = (model: Model): TE.TaskEither<KvError, ReadonlyArray<Float32Array>> =>
  TE.traverseSeqArrayWithIndex((l) => outputGram(model, l))(model.spec.shape.layers);

/** f32 [queryHeads, valueDim, valueDim] of layer `l`. The projection is read as the backend holds it, by multiplying with the unit
 * vectors: no second copy of the weights is kept. */
const outputGram = (model: Model, l: number): TE.TaskEither<KvError, Float32Array> => {
  const { hidden: n, layers } = model.spec.shape;
  const shape = layers[l];
  if (shape === undefined) {
    return TE.left({ _tag: "InvalidArgument", argument: "layer", value: String(l), allowed: `0 to ${layers.length - 1}` });
  }
  const width = shape.queryHeads * shape.valueDim;
  const [x, d1] = bound("x")(emptyDraft);
  const [w, d2] = weight(`blk.${l}.attn_output.weight`)(d1);
  const [out, d3] = bound("out")(d2);
  const program = finish(`columns of the output projection of layer ${l}`)(
    emit({ op: "matmul", args: [x, w, NONE, out], params: { m: width, n, k: width, accumulate: false } })(d3),
  );
  const unit = new Float32Array(width * width);
  for (let i = 0; i < width; i++) unit[i * width + i] = 1;
  return withScratch(model.memory, [{ label: "x", content: bytesIn(unit) }, { label: "out", content: width * n * 4 }], (buffers) =>
    pipe(
      runOnce(model.memory, program, wholly(buffers), model.weights),
      TE.chain(() => buffers.out === undefined ? TE.right(new Float32Array()) : readNumbers(model.memory, buffers.out, width * n)),
      TE.map((columns) => gramsOf(columns, shape, n)),
    ));
};

/** Row c of `columns` is what a value of 1 in channel c writes, f32 [n]. */
function gramsOf(columns: Float32Array, { queryHeads, valueDim }: LayerShape, n: number): Float32Array {
  const out = new Float32Array(queryHeads * valueDim * valueDim);
  for (let q = 0; q < queryHeads; q++) {
    for (let c = 0; c < valueDim; c++) {
      const a = columns.subarray((q * valueDim + c) * n, (q * valueDim + c + 1) * n);
      for (let d = 0; d <= c; d++) {
        const b = (q * valueDim + d) * n;
        let dot = 0;
        for (let i = 0; i < n; i++) dot += (a[i] ?? 0) * (columns[b + i] ?? 0);
        out[(q * valueDim + c) * valueDim + d] = out[(q * valueDim + d) * valueDim + c] = dot;
      }
    }
  }
  return out;
}
