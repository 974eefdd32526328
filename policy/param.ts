/**
 * Parameters of terms: how one argument is read, printed and described.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import * as O from "fp-ts/Option.js";
 * const window = count("window", 1, 64);
 * assertEquals(window.read({ text: "65", items: null, column: 1 }), O.none);
 * assertEquals(window.allowed, "a whole number from 1 to 64");
 * ```
 * @module
 */
import * as O from "fp-ts/Option.js";
import { readRatio, rows, share as shareBudget, showBudget, showRatio } from "./budget.ts";
import {
  allLayers,
  append,
  build,
  chunk,
  every,
  layerList,
  layerRange,
  maxLayers,
  onExit,
  prefillEnd,
  showLayers,
  showMoment,
  step,
} from "./moment.ts";
import type { Budget, Layers, Moment, Ratio } from "./types.ts";

/** A value as written: its text, its items if it is a `[list]`, and the 1-based column where it starts. */
export interface Written {
  /** As it stands, brackets included. */
  readonly text: string;
  /** The items of a list, null for a single value. */
  readonly items: ReadonlyArray<string> | null;
  /** Where it starts, 1-based. */
  readonly column: number;
}

/** One parameter. */
export interface Param<A> {
  /** As `name=value` says it. */
  readonly name: string;
  /** Another name that is read. */
  readonly also?: string;
  /** The range, for errors and help. */
  readonly allowed: string;
  /** None for what is out of range. */
  readonly read: (written: Written) => O.Option<A>;
  /** What `read` reads back as the same value. */
  readonly show: (value: A) => string;
}

/** No budget and no window is larger; positions are exact in f32 below this. */
export const maxRows: number = 2 ** 24;

const atom = <A>(read: (text: string) => O.Option<A>) => (written: Written): O.Option<A> =>
  written.items === null ? read(written.text) : O.none;

const wholeNumber = (from: number, to: number) => (text: string): O.Option<number> =>
  O.fromPredicate((n: number) => n >= from && n <= to)(/^-?\d{1,9}$/.test(text) ? Number(text) + 0 : NaN);

const budgetOf = (text: string): O.Option<Budget> =>
  O.alt(() => O.map(shareBudget)(readRatio(text)))(O.map(rows)(wholeNumber(1, maxRows)(text)));

/** Rows per head or a share of the prompt; `rows=` and `share=` both name it. */
export const size: Param<Budget> = {
  name: "rows",
  also: "share",
  allowed: `a whole number of rows from 1 to ${maxRows}, or a share such as 25% or 1/4`,
  read: atom(budgetOf),
  show: showBudget,
};

/** A whole number from `from` to `to`. */
export const count = (name: string, from: number, to: number): Param<number> => ({
  name,
  allowed: `a whole number from ${from} to ${to}`,
  read: atom(wholeNumber(from, to)),
  show: String,
});

/** A decimal number from `from` to `to`, at most nine digits on either side of the point. */
export const decimal = (name: string, from: number, to: number): Param<number> => ({
  name,
  allowed: `a number from ${from} to ${to} such as ${from < 0 ? "-0.5" : "0.5"}`,
  read: atom((text) => O.fromPredicate((n: number) => n >= from && n <= to)(/^-?\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) + 0 : NaN)),
  show: (value) => value.toFixed(9).replace(/\.?0+$/, ""),
});

/** Any number; those beyond the largest f32, and inf, count as that. */
export const real = (name: string): Param<number> => ({
  name,
  allowed: "a number such as -4 or 1e-3, inf or -inf",
  read: atom((text) => {
    const infinite = /^-?inf$/.test(text) ? (text === "inf" ? Infinity : -Infinity) : NaN;
    return O.fromPredicate((n: number) => !Number.isNaN(n))(
      /^-?\d{1,40}(\.\d{1,40})?(e-?\d{1,3})?$/.test(text) ? Number(text) + 0 : infinite,
    );
  }),
  show: (value) => Number.isFinite(value) ? String(value).replace("e+", "e") : value > 0 ? "inf" : "-inf",
});

/** An odd number from 1 to `to`. */
export const odd = (name: string, to: number): Param<number> => ({
  name,
  allowed: `an odd number from 1 to ${to}`,
  read: atom((text) => O.filter((n: number) => n % 2 === 1)(wholeNumber(1, to)(text))),
  show: String,
});

/** One of some words. */
export const choice = <A extends string>(name: string, words: ReadonlyArray<A>): Param<A> => ({
  name,
  allowed: words.join(" or "),
  read: atom((text) => O.fromNullable(words.find((word) => word === text))),
  show: (word) => word,
});

/** `yes` or `no`. */
export const flag = (name: string): Param<boolean> => ({
  name,
  allowed: "yes or no",
  read: atom((text) => text === "yes" ? O.some(true) : text === "no" ? O.some(false) : O.none),
  show: (value) => value ? "yes" : "no",
});

/** A share above 0, at most 1. */
export const share = (name: string): Param<Ratio> => ({
  name,
  allowed: "a share above 0, at most 1, such as 0.2, 20% or 1/5",
  read: atom(readRatio),
  show: showRatio,
});

/** A share, or 0 for none. */
export const shareOrNone = (name: string): Param<Ratio | null> => ({
  name,
  allowed: "a share from 0 to 1 such as 0.2, 20% or 1/5",
  read: atom((text) => /^0{1,9}(\.0{1,9})?%?$/.test(text) ? O.some(null) : readRatio(text)),
  show: (value) => value === null ? "0" : showRatio(value),
});

/** The newest rows: a count, or a share of the budget. */
export const recentRows: Param<number | Ratio> = {
  name: "recent",
  allowed: `a whole number of rows from 0 to ${maxRows}, or a share of the budget such as 50%`,
  read: atom((text): O.Option<number | Ratio> => O.alt((): O.Option<number | Ratio> => readRatio(text))(wholeNumber(0, maxRows)(text))),
  show: (value) => typeof value === "number" ? String(value) : showRatio(value),
};

/** When a block acts. */
export const moment: Param<Moment> = {
  name: "moment",
  allowed: "build, prefill, append, chunk, step, every:N or exit:N, N a whole number of tokens",
  read: atom((text) => {
    const plain = [build, prefillEnd, append, chunk, step].find((m) => showMoment(m) === text);
    const timed = /^(every|exit):(\d{1,9})$/.exec(text);
    if (plain !== undefined) return O.some(plain);
    return O.map(timed?.[1] === "every" ? every : onExit)(wholeNumber(1, maxRows)(timed?.[2] ?? ""));
  }),
  show: showMoment,
};

/** Which layers. */
export const layers: Param<Layers> = {
  name: "layers",
  allowed: `a range such as 2.., ..4 or 2..-2 (negative from the end), a list such as [0, 3], or one layer, below ${maxLayers}`,
  read: ({ text, items }) => {
    const one = wholeNumber(1 - maxLayers, maxLayers - 1);
    if (items !== null) return O.map(layerList)(O.traverseArray(one)(items));
    if (text === "..") return O.some(allLayers);
    const range = /^(-?\d{1,4})?\.\.(-?\d{1,4})?$/.exec(text);
    if (range === null) return O.map((layer: number) => layerList([layer]))(one(text));
    return O.chain((from: number) =>
      O.map((to: number) => layerRange(from, to))(range[2] === undefined ? O.some(maxLayers) : one(range[2]))
    )(
      range[1] === undefined ? O.some(0) : one(range[1]),
    );
  },
  show: showLayers,
};

/** A layer for each layer, such as the one whose rows it reads. */
export const layerMap = (name: string): Param<ReadonlyArray<number>> => ({
  name,
  allowed: `a list with a layer for each layer, such as [0, 1, 1], below ${maxLayers}`,
  read: ({ items }) => items === null ? O.none : O.traverseArray(wholeNumber(0, maxLayers - 1))(items),
  show: (layers) => `[${layers.join(", ")}]`,
});

/** One budget per layer. */
export const budgets: Param<ReadonlyArray<Budget>> = {
  name: "budgets",
  allowed: `a list of rows or shares, one per layer, such as [512, 25%]`,
  read: ({ items }) => items === null ? O.none : O.traverseArray(budgetOf)(items),
  show: (list) => `[${list.map(showBudget).join(", ")}]`,
};
