/**
 * GGUF block types as sizes: how many numbers a block holds, how many bytes it takes and where its scales lie. What the other bytes mean is in
 * `backends/block_numbers.ts`.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { WeightSource, WeightType } from "./backend.ts";

/** Size of one block of a weight type, and where its scales are. Blocks run along the input dimension: a matrix row is a whole number of them. */
export interface BlockForm {
  /** Numbers per block. */
  readonly elements: number;
  /** Bytes per block. */
  readonly bytes: number;
  /** Bytes into a block where its f16 scales and offsets lie. */
  readonly scales: ReadonlyArray<number>;
}

/** Every weight type. Source: the structures of `ggml-org/ggml`, `src/ggml-common.h`. */
export const blockForms: Readonly<Record<WeightType, BlockForm>> = {
  F32: { elements: 1, bytes: 4, scales: [] },
  F16: { elements: 1, bytes: 2, scales: [] },
  BF16: { elements: 1, bytes: 2, scales: [] },
  Q8_0: { elements: 32, bytes: 34, scales: [0] },
  Q4_0: { elements: 32, bytes: 18, scales: [0] },
  Q4_1: { elements: 32, bytes: 20, scales: [0, 2] },
  Q5_0: { elements: 32, bytes: 22, scales: [0] },
  Q5_1: { elements: 32, bytes: 24, scales: [0, 2] },
  Q4_K: { elements: 256, bytes: 144, scales: [0, 2] },
  Q5_K: { elements: 256, bytes: 176, scales: [0, 2] },
  Q6_K: { elements: 256, bytes: 210, scales: [208] },
};

/** Every weight type, in the order of {@link blockForms}. */
export const weightTypes: ReadonlyArray<WeightType> = Object.keys(blockForms) as ReadonlyArray<WeightType>;

/** Bytes of a matrix in file order, or null if a row is not a whole number of blocks or a size is not a whole number from 0.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(weightBytes("Q4_1", 2, 64), 2 * 2 * 20);
 * assertEquals(weightBytes("Q6_K", 1, 576), null);
 * ```
 */
export function weightBytes(type: WeightType, rows: number, cols: number): number | null {
  const { elements, bytes } = blockForms[type];
  const total = rows * (cols / elements) * bytes;
  const whole = Number.isSafeInteger(rows) && Number.isSafeInteger(cols) && rows >= 0 && cols >= 0 && cols % elements === 0;
  return whole && Number.isSafeInteger(total) ? total : null;
}

/** Right if type, sizes and bytes of a weight agree; else a ShapeMismatch that names the weight. Every backend asks this first. */
export function checkWeight(source: WeightSource): E.Either<KvError, WeightSource> {
  const at = `weight ${source.name}`;
  const wrong = (expected: string, actual: string): E.Either<KvError, never> => E.left({ _tag: "ShapeMismatch", at, expected, actual });
  if (!Object.hasOwn(blockForms, source.type)) return wrong(`one of ${weightTypes.join(", ")}`, String(source.type));
  const bytes = weightBytes(source.type, source.rows, source.cols);
  if (bytes === null) {
    return wrong(`rows of whole blocks of ${blockForms[source.type].elements} numbers`, `${source.rows} rows of ${source.cols}`);
  }
  if (bytes !== source.bytes.length) return wrong(`${bytes} bytes`, `${source.bytes.length} bytes`);
  if (source.rows !== 1 && source.uses.includes("vector")) return wrong("one row for a vector", `${source.rows} rows`);
  return E.right(source);
}
