/**
 * Rows against precision: how many coded rows take what a budget of 16-bit rows takes, and which codecs a budget asks for.
 * @module
 */
import * as E from "fp-ts/Either.js";
import { codecOf, rowBytes } from "../cache/codec.ts";
import type { KvError } from "../cache/error.ts";
import type { LayerShape } from "../cache/shape.ts";
import type { Codec } from "../cache/types.ts";
import type { CodecPair, Fit } from "../policy/types.ts";
import { codecError } from "./layers.ts";
import { invalid, resolveBudget } from "./resolve.ts";
import type { Target } from "./types.ts";

/** Rows of one pair of codecs that a budget has room for. */
export interface Fitted {
  /** How they are stored. */
  readonly pair: CodecPair;
  /** How many of them the budget holds, per KV head. */
  readonly rows: number;
}

/** Bits of a number alone: of rows that keep some of their channels, on average. */
const bitsOf = (codec: Codec): number =>
  codec._tag === "Affine" ? codec.bits : codec._tag === "Channels" ? 16 * codec.percent / 100 : codec.dtype === "f32" ? 32 : 16;

/** How many rows of a pair take what `rows` rows of 16-bit numbers take: floor(rows * 16 / b), b the bits of a number with its share of
 * scales and offsets or, nominally, without (arXiv 2412.12706, section 2).
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const [{ keyDim, valueDim }, pair] = [{ keyDim: 128, valueDim: 128 }, { keys: "q4g64", values: "q4g64" } as const];
 * assertEquals([fitRows(128, pair, "bytes", { keyDim, valueDim }), fitRows(128, pair, "nominal", { keyDim, valueDim })], [455, 512]);
 * ```
 */
export function fitRows(rows: number, pair: CodecPair, counted: Fit["counted"], dims: Pick<LayerShape, "keyDim" | "valueDim">): number {
  const [keys, values] = [codecOf(pair.keys), codecOf(pair.values)];
  const { keyDim, valueDim } = dims;
  return counted === "nominal"
    ? Math.floor(rows * 16 * (keyDim + valueDim) / (bitsOf(keys) * keyDim + bitsOf(values) * valueDim))
    : Math.floor(rows * 2 * (keyDim + valueDim) / (rowBytes(keys, keyDim) + rowBytes(values, valueDim)));
}

/** Every pair of a fit with its rows in one layer, in the order of the pairs. */
export function candidates(fit: Fit, layer: number, target: Target, path: string): E.Either<KvError, ReadonlyArray<Fitted>> {
  const shape = target.shape.layers[layer];
  const budget = resolveBudget(fit.of, layer, target, `${path}.of`);
  if (E.isLeft(budget)) return budget;
  if (budget.right._tag === "Above" || shape === undefined) return invalid(`${path}.of`, "a threshold", "a number of rows or a share");
  const wrong = fit.pairs.flatMap(({ keys, values }) => [
    codecError(`${path}.keys`, codecOf(keys), shape.keyDim),
    codecError(`${path}.values`, codecOf(values), shape.valueDim),
  ]).find(E.isLeft);
  if (wrong !== undefined) return wrong;
  const { rows } = budget.right;
  return E.right(fit.pairs.map((pair) => ({ pair, rows: Math.max(1, fitRows(rows, pair, fit.counted, shape)) })));
}

/** The pair that is proposed: fewer bits only as long as the prompt does not fit. */
export const proposed = (of: ReadonlyArray<Fitted>, promptTokens: number): Fitted | undefined =>
  of.find(({ rows }) => rows >= promptTokens) ?? of[of.length - 1];

/** What a fit comes to in one layer. */
export function resolveFit(fit: Fit, layer: number, target: Target, path: string): E.Either<KvError, Fitted> {
  const all = candidates(fit, layer, target, path);
  if (E.isLeft(all)) return all;
  const best = proposed(all.right, target.promptTokens);
  return best === undefined ? invalid(`${path}.pairs`, "none", "one pair of codecs at least") : E.right(best);
}
