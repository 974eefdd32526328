/**
 * Gates of Write-Gated KV: per layer `layers.{l}.gamma1` and `gamma2` [keyDim], the scales of the norms of keys before and after rotation,
 * `W1` [kvHeads, inner, 2 keyDim], `b1` and `w2` [kvHeads, inner], `b2` [kvHeads].
 *
 * Source: arXiv 2512.17452; shapes as a gate is exported from the authors' code for another runtime.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import { learnedWeight } from "../plan/learned.ts";
import { bytesIn } from "../run/scratch.ts";
import { type Safetensors, tensorNumbers } from "./safetensors.ts";
import { checked } from "./surrogate_tensor.ts";
import type { ModelTensor } from "./types.ts";

/** The tensors of a layer, in the file's words. */
export const gateParts = ["gamma1", "gamma2", "W1", "b1", "w2", "b2"] as const;

/** Units per KV head of layer `l`, or null if the file holds no gate of that layer. */
export function gateInner({ tensors }: Safetensors, l: number): number | null {
  const first = tensors.get(`layers.${l}.W1`);
  return gateParts.every((part) => !tensors.has(`layers.${l}.${part}`)) ? null : first?.shape[1] ?? 0;
}

/** Weights of the gate of layer `l` as programs name them, or the first fault. The networks of the heads become one matrix with zeros
 * between them, so that one product serves all. */
export function readGate(
  file: Safetensors,
  score: string,
  l: number,
  { kvHeads, keyDim }: LayerShape,
  inner: number,
): E.Either<KvError, ReadonlyArray<ModelTensor>> {
  const shapes: Readonly<Record<(typeof gateParts)[number], ReadonlyArray<number>>> = {
    gamma1: [keyDim],
    gamma2: [keyDim],
    W1: [kvHeads, inner, 2 * keyDim],
    b1: [kvHeads, inner],
    w2: [kvHeads, inner],
    b2: [kvHeads],
  };
  const numbers = new Map<string, Float32Array>();
  for (const part of gateParts) {
    const tensor = checked(file, `layers.${l}.${part}`, shapes[part]);
    if (E.isLeft(tensor)) return tensor;
    numbers.set(part, Float32Array.from(tensorNumbers(tensor.right)));
  }
  const of = (part: (typeof gateParts)[number]): Float32Array => numbers.get(part) ?? new Float32Array();
  const weight = (part: string, rows: number, cols: number, x: Float32Array): ModelTensor => ({
    name: learnedWeight(score, l, part),
    type: "F32",
    rows,
    cols,
    bytes: bytesIn(x),
  });
  const units = kvHeads * inner;
  const half = (from: number): Float32Array => blocks(of("W1"), { heads: kvHeads, rows: inner, cols: keyDim, stride: 2 * keyDim, from });
  return E.right([
    weight("raw_norm.weight", 1, keyDim, of("gamma1")),
    weight("rotated_norm.weight", 1, keyDim, of("gamma2")),
    weight("raw.weight", units, kvHeads * keyDim, half(0)),
    weight("rotated.weight", units, kvHeads * keyDim, half(keyDim)),
    weight("inner.bias", 1, units, of("b1")),
    weight("outer.weight", kvHeads, units, blocks(of("w2"), { heads: kvHeads, rows: 1, cols: inner, stride: inner, from: 0 })),
    weight("outer.bias", 1, kvHeads, of("b2")),
  ]);
}

/** Columns [from, from + cols) of each head's rows, on the diagonal of a matrix of zeros. */
function blocks(
  x: Float32Array,
  { heads, rows, cols, stride, from }: Readonly<Record<"heads" | "rows" | "cols" | "stride" | "from", number>>,
): Float32Array {
  const out = new Float32Array(heads * rows * heads * cols);
  for (let h = 0; h < heads; h++) {
    for (let r = 0; r < rows; r++) {
      const at = (h * rows + r) * stride + from;
      out.set(x.subarray(at, at + cols), ((h * rows + r) * heads + h) * cols);
    }
  }
  return out;
}
