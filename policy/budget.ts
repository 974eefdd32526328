/**
 * Budgets: how many rows stay per KV head. Integers or exact shares, never floating point.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(share(percent(25)), { _tag: "Share", share: { numerator: 1, denominator: 4 } });
 * assertEquals([rows(256), share(ratio(1, 3)), share(percent(20))].map(showBudget), ["256", "1/3", "20%"]);
 * ```
 * @module
 */
import * as O from "fp-ts/Option.js";
import type { Budget, Ratio } from "./types.ts";

/** What a method takes as its size: rows per KV head, or a share of the prompt. */
export type Size =
  | { readonly rows: number; readonly share?: never }
  | { readonly share: Ratio; readonly rows?: never }
  | { readonly rows?: never; readonly share?: never };

/** Options of a budgeted method: a {@link Size}, and any of the others. */
export type Sized<Options> = Size & Partial<Options>;

/** Options of a budgeted method with its size resolved. */
export type Budgeted<Options> = Options & { readonly budget: Budget };

/** Exactly this many rows per head, or all there are. */
export const rows = (count: number): Budget => ({ _tag: "Rows", rows: count });

/** This share of the prompt length, rounded down, at least one row. */
export const share = (of: Ratio): Budget => ({ _tag: "Share", share: lowest(of) });

/** An exact share in lowest terms. Numbers that are no natural numbers are kept as they are, for validation to name. */
export function ratio(numerator: number, denominator: number): Ratio {
  const natural = Number.isSafeInteger(numerator) && Number.isSafeInteger(denominator) && numerator > 0 && denominator > 0;
  const by = natural ? commonDivisor(numerator, denominator) : 1;
  return { numerator: numerator / by, denominator: denominator / by };
}

/** The same share in lowest terms, as text gives it back. */
export const lowest = ({ numerator, denominator }: Ratio): Ratio => ratio(numerator, denominator);

/** A share in whole percent; use {@link ratio} for others. */
export const percent = (whole: number): Ratio => ratio(whole, 100);

/** One budget for each layer, in layer order. */
export const budgetPerLayer = (budgets: ReadonlyArray<Budget>): Budget => ({ _tag: "PerLayer", budgets });

/** From many rows in the first layer to few in the last (PyramidKV, arXiv 2406.02069); `window` is part of the mean. */
export const pyramidal =
  (options: { readonly window: number; readonly beta: number; readonly form?: "steps" | "line" }): (mean: Budget) => Budget => (mean) => ({
    _tag: "Pyramid",
    mean,
    window: options.window,
    beta: options.beta,
    form: options.form ?? "steps",
  });

/** A budget by a threshold. */
export type Threshold = Extract<Budget, { readonly _tag: "Above" }>;

/** Every row that scores at least `value`, and at least `floor` rows. */
export const above = (value: number, floor: number): Threshold => ({ _tag: "Above", value, floor });

/** Every row that scores more than `value`, and at least `floor` rows: scores are f32, so that is from the next one on.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(over(0, 1), above(2 ** -149, 1));
 * ```
 */
export function over(value: number, floor: number): Threshold {
  const bits = new Int32Array(Float32Array.of(value + 0).buffer);
  const next = value < 0 ? -1 : 1;
  return above(new Float32Array(bits.map((word) => word + next).buffer)[0] ?? value, floor);
}

/** The budget a {@link Size} names, or `otherwise` if it names none. */
export const sizeOf = (size: Size, otherwise: Budget): Budget =>
  size.rows !== undefined ? rows(size.rows) : size.share !== undefined ? share(size.share) : otherwise;

/** In lowest terms; `20%` where whole percent say it exactly, else `1/3`. */
export function showRatio(of: Ratio): string {
  const { numerator, denominator } = lowest(of);
  return 100 % denominator === 0 ? `${numerator * (100 / denominator)}%` : `${numerator}/${denominator}`;
}

/** A share as text says it: `25%`, `12.5%`, `1/8` or `0.125`, in (0, 1]; none for anything else. */
export function readRatio(text: string): O.Option<Ratio> {
  const fraction = /^(\d{1,9})\/(\d{1,9})$/.exec(text);
  const decimal = /^(\d{1,3})(?:\.(\d{1,9}))?(%?)$/.exec(text);
  const found = fraction !== null
    ? ratio(Number(fraction[1]), Number(fraction[2]))
    : decimal !== null && (decimal[2] !== undefined || decimal[3] === "%")
    ? decimalRatio(decimal[1] ?? "", decimal[2] ?? "", decimal[3] === "%")
    : null;
  return found !== null && isShare(found) ? O.some(found) : O.none;
}

/** 0 < numerator / denominator <= 1 in natural numbers. */
export const isShare = ({ numerator, denominator }: Ratio): boolean =>
  Number.isSafeInteger(numerator) && Number.isSafeInteger(denominator) && numerator > 0 && numerator <= denominator;

/** A budget as the short text form says it; those that only JSON can say are named. */
export function showBudget(budget: Budget): string {
  switch (budget._tag) {
    case "Rows":
      return String(budget.rows);
    case "Share":
      return showRatio(budget.share);
    case "PerLayer":
      return `[${budget.budgets.map(showBudget).join(", ")}]`;
    case "Pyramid":
      return `pyramid around ${showBudget(budget.mean)}`;
    case "Above":
      return `score >= ${budget.value}, ${budget.floor} rows at least`;
    case "Fitted":
      return `the ${budget.fit.counted} of ${showBudget(budget.fit.of)} in ${
        budget.fit.pairs.map(({ keys, values }) => keys === values ? keys : `${keys}/${values}`).join(" or ")
      }`;
  }
}

/** Digits are exact: at most 12 significant ones, below 2^53. */
const decimalRatio = (whole: string, decimals: string, isPercent: boolean): Ratio =>
  ratio(Number(whole + decimals), 10 ** decimals.length * (isPercent ? 100 : 1));

function commonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}
