/**
 * Layer ranges and budgets of a policy as plain numbers for one model and one prompt.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";
import type { Budget, Layers, Ratio } from "../policy/types.ts";
import type { Target } from "./types.ts";

/** A budget of one layer, resolved. `rows` are per KV head. */
export type Limit =
  | { readonly _tag: "Rows"; readonly rows: number }
  | { readonly _tag: "Above"; readonly value: number; readonly floor: number };

/** The rows that a limit lets stay; of a threshold the fewest. */
export const limitRows = (limit: Limit): number => limit._tag === "Rows" ? limit.rows : limit.floor;

/** An InvalidPolicy. */
export const invalid = (path: string, value: string | number, allowed: string): E.Either<KvError, never> =>
  E.left({ _tag: "InvalidPolicy", path, value: String(value), allowed });

/** An Unsupported of the planner. */
export const unsupported = (what: string, path: string, because: string): E.Either<KvError, never> =>
  E.left({ _tag: "Unsupported", what: `${what} (${path})`, where: "the planner", because });

/** floor(share * n) in integers; a share never goes through floating point. `n` is below 2^53. */
export const shareOf = (share: Ratio, n: number): number => Number(BigInt(n) * BigInt(share.numerator) / BigInt(share.denominator));

/** Which of `count` layers a block touches, ascending. Negative indices count from the end,
 * as does an end of 0; a range may reach past the end. */
export function resolveLayers(layers: Layers, count: number, path: string): E.Either<KvError, ReadonlyArray<number>> {
  const all = Array.from({ length: count }, (_, l) => l);
  const fromEnd = (l: number): number => l < 0 ? l + count : l;
  switch (layers._tag) {
    case "All":
      return E.right(all);
    case "Range": {
      const [from, to] = [fromEnd(layers.from), layers.to === 0 ? count : fromEnd(layers.to)];
      const found = all.filter((l) => l >= from && l < to);
      const outside = from < 0 || from >= count || found.length === 0;
      return outside
        ? invalid(
          `${path}.layers`,
          `${layers.from} to ${layers.to}`,
          `a range that starts within the model's ${count} layers and holds one at least`,
        )
        : E.right(found);
    }
    case "List": {
      const bad = layers.layers.find((l) => !Number.isInteger(l) || fromEnd(l) < 0 || fromEnd(l) >= count);
      return bad === undefined
        ? E.right(all.filter((l) => layers.layers.some((one) => fromEnd(one) === l)))
        : invalid(`${path}.layers`, bad, `layers from ${-count} to ${count - 1}`);
    }
  }
}

/** The budget of layer `layer`: exact rows, at least 1, or a threshold. */
export function resolveBudget(budget: Budget, layer: number, target: Target, path: string): E.Either<KvError, Limit> {
  const { shape: { layers: { length: count }, context }, promptTokens } = target;
  switch (budget._tag) {
    case "Rows":
      return Number.isInteger(budget.rows) && budget.rows >= 1 && budget.rows <= context
        ? E.right(budget)
        : invalid(`${path}.rows`, budget.rows, `a whole number of rows from 1 to the model's context of ${context}`);
    case "Share":
      return E.right({ _tag: "Rows", rows: Math.max(1, shareOf(budget.share, promptTokens)) });
    case "PerLayer": {
      const own = budget.budgets[layer];
      return own === undefined || budget.budgets.length !== count
        ? invalid(`${path}.budgets`, `${budget.budgets.length} budgets`, `one budget for each of the model's ${count} layers`)
        : own._tag === "PerLayer"
        ? invalid(`${path}.budgets`, "a list in a list", "one budget per layer")
        : resolveBudget(own, layer, target, `${path}.budgets[${layer}]`);
    }
    case "Pyramid": {
      const mean = resolveBudget(budget.mean, layer, target, `${path}.mean`);
      if (E.isLeft(mean)) return mean;
      if (mean.right._tag === "Above") return invalid(`${path}.mean`, "a threshold", "a number of rows or a share of the prompt");
      if (budget.window >= mean.right.rows) {
        return invalid(`${path}.window`, budget.window, `a window below the mean budget of ${mean.right.rows} rows`);
      }
      const pyramid = budget.form === "line" ? pyramidLine : pyramidRows;
      return E.right({ _tag: "Rows", rows: pyramid(mean.right.rows, budget.window, budget.beta, layer, count, promptTokens) });
    }
    case "Above":
      return E.right(budget);
    case "Fitted":
      return invalid(`${path}.fit`, "a fit inside a budget", "a fit as the whole budget of an eviction");
  }
}

/** PyramidKV (arXiv 2406.02069; KVCache-Factory `pyramidkv_utils.py`): rows kept in `layer` of `count`, window included, for a
 * mean budget of `mean` rows and a prompt of `n` tokens. Short prompts (n < 2 (mean - window)) and single layers use `mean`.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals([0, 31].map((l) => pyramidRows(128, 8, 20, l, 32, 4096)), [234 + 8, 17 + 8]);
 * ```
 */
export function pyramidRows(mean: number, window: number, beta: number, layer: number, count: number, n: number): number {
  const b = mean - window;
  if (n < 2 * b || n < mean || count < 2) return mean;
  const hi = Math.min(2 * b - Math.floor(b / beta), n - window);
  const lo = 2 * b - hi;
  return hi - layer * Math.floor((hi - lo) / (count - 1)) + window;
}

/** The same along a line, as kvpress has it: from 2 mean - mean / beta rows in the first layer, or all but the window, down to as much less than
 * the mean in the last, each layer rounded, ties to even; `mean` everywhere where that leaves what a layer may hold, and for a single layer.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals([0, 1, 2].map((l) => pyramidLine(200, 8, 20, l, 3, 4096)), [390, 200, 10]);
 * ```
 */
export function pyramidLine(mean: number, window: number, beta: number, layer: number, count: number, n: number): number {
  const most = Math.min(2 * mean - mean / beta, n - window);
  const least = 2 * mean - most;
  if (count < 2 || n < most || most < least || least < window) return mean;
  return roundEven(most - layer * (most - least) / (count - 1));
}

const roundEven = (x: number): number => {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 !== 0 ? up - 1 : up;
};
