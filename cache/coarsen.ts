/**
 * From fine codes to coarse ones without the numbers (DiffKV, arXiv 2412.03131, section 4): the grids of 8, 4 and 2 bits nest, because
 * 255 = 17 * 15 and 15 = 5 * 3, so rounding a rounded code gives what rounding the number itself would give.
 * @module
 */
import { readCodes, writeCodes } from "./codec.ts";
import type { Codec } from "./types.ts";

type Affine = Extract<Codec, { readonly _tag: "Affine" }>;

/** True if rows of `from` become rows of `to` code by code: fewer bits, and the same groups of channels. */
export const nests = (from: Codec, to: Codec): from is Affine =>
  from._tag === "Affine" && to._tag === "Affine" && from.axis === "token" && to.axis === "token" && from.group === to.group &&
  from.bits > to.bits;

/** The coarse code of a fine one: `floor((q + (n - 1) / 2) / n)`, n = 17 (8 to 4 bits), 5 (4 to 2) or 85 (8 to 2).
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals([8, 9, 255].map(coarseCode(8, 4)), [0, 1, 15]);
 * ```
 */
export const coarseCode = (from: number, to: number): (code: number) => number => {
  const factor = (2 ** from - 1) / (2 ** to - 1);
  return (code) => Math.floor((code + (factor - 1) / 2) / factor);
};

/** Whole rows of `from` as rows of `to`: scales times n (a half, at most the largest), offsets as they are. */
export function coarsen(from: Affine, to: Codec, bytes: Uint8Array, dim: number): Uint8Array {
  if (to._tag !== "Affine") return bytes;
  const factor = (2 ** from.bits - 1) / (2 ** to.bits - 1);
  const coarse = coarseCode(from.bits, to.bits);
  return writeCodes(
    to,
    dim,
    readCodes(from, dim, bytes).map(({ pairs, codes }) => ({
      pairs: pairs.map(([scale, zero]) => [Math.min(65504, scale * factor), zero] as const),
      codes: codes.map(coarse),
    })),
  );
}
