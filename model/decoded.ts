/**
 * A model whose weights are numbers, not blocks.
 * @module
 */
import { decodeBlocks } from "../backends/block_numbers.ts";
import type { ModelFile, ModelTensor } from "./types.ts";

const decoded = (tensor: ModelTensor): ModelTensor => {
  const { type, bytes, rows, cols } = tensor;
  return type === "F32" ? tensor : { ...tensor, type: "F32", bytes: new Uint8Array(decodeBlocks(type, bytes, rows * cols).slice().buffer) };
};

/** The same model with every weight as the f32 that its block says. Where weights are in blocks the Wasm backend rounds activations to 16
 * bits, some 1e-7 of the logits' variance; with these weights none does. They take four bytes a number, 6.4 times those of Q4_1. It stays the model it was: surrogates and transforms of the file are its own.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { inductionModel } from "./induction.ts";
 * const types = new Set([...decodedModel(inductionModel()).tensors.values()].map(({ type }) => type));
 * assertEquals([...types], ["F32"]);
 * ```
 */
export const decodedModel = (file: ModelFile): ModelFile =>
  [...file.tensors.values()].every(({ type }) => type === "F32") ? file : {
    ...file,
    tensors: new Map([...file.tensors].map(([name, tensor]) => [name, decoded(tensor)])),
    decodedFrom: file.tensors,
  };
