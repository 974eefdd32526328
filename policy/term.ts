/**
 * Terms: how a method or a rewrite is called in text, `snapkv(25%, window=16)`. A term is a name and typed parameters with
 * defaults, from which it is printed, read and listed; {@link makes} and {@link rewrites} turn one into an entry of a registry.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { rows } from "./budget.ts";
 * import { count, size } from "./param.ts";
 * const term = { name: "newest", about: "keeps the newest rows", params: { budget: size, sinks: count("sinks", 0, 64) }, defaults: { budget: rows(64), sinks: 4 } };
 * assertEquals(showTerm(term)({ budget: rows(8), sinks: 1 }), "newest(8, sinks=1)");
 * ```
 * @module
 */
import * as E from "fp-ts/Either.js";
import * as O from "fp-ts/Option.js";
import { type Budgeted, type Sized, sizeOf } from "./budget.ts";
import type { Param, Written } from "./param.ts";
import type { Rewrite } from "./rewrite.ts";
import { suggest } from "./suggest.ts";
import type { Policy } from "./types.ts";

/** One parameter for each option. Their order is that of positional arguments. */
export type Params<Options> = { readonly [K in keyof Options]: Param<Options[K]> };

/** A name that text may call. */
export interface Term<Options> {
  /** Letters, digits and _, a letter first. */
  readonly name: string;
  /** One sentence for lists and help. */
  readonly about: string;
  /** How each option is read and printed, in the order of positional arguments. */
  readonly params: Params<Options>;
  /** What arguments that are not given are. */
  readonly defaults: Options;
}

/** An argument as written, `name=value` or a value alone. Columns are 1-based. */
export interface Argument {
  /** Null for a positional argument. */
  readonly name: string | null;
  /** Where the argument starts. */
  readonly column: number;
  /** What stands after the name. */
  readonly value: Written;
}

/** What is wrong with an argument, and where. */
export interface TermError {
  /** The term, or term and parameter. */
  readonly path: string;
  /** Where, 1-based. */
  readonly column: number;
  /** What was found there. */
  readonly value: string;
  /** What may stand there. */
  readonly allowed: string;
}

/** What calling a term gives. */
export type Made =
  | { readonly _tag: "Policy"; readonly policy: Policy }
  | { readonly _tag: "Rewrite"; readonly rewrite: Rewrite };

/** A parameter as lists show it. */
export interface ParamInfo {
  /** As `name=value` says it. */
  readonly name: string;
  /** The range. */
  readonly allowed: string;
  /** The default, as text. */
  readonly fallback: string;
}

/** A term whose options are hidden: what a registry holds. */
export interface Entry {
  /** What text calls. */
  readonly name: string;
  /** One sentence for lists and help. */
  readonly about: string;
  /** `policy` stands alone, `rewrite` follows a bar. */
  readonly kind: "policy" | "rewrite";
  /** In the order of positional arguments. */
  readonly params: ReadonlyArray<ParamInfo>;
  /** Calls the term. */
  readonly read: (args: ReadonlyArray<Argument>) => E.Either<TermError, Made>;
}

/** All names that text may use. */
export type Registry = ReadonlyArray<Entry>;

/** Prints a call: the first argument always, the others where they differ from their defaults. */
export const showTerm = <Options>(term: Term<Options>): (options: Options) => string => (options) => {
  const shown = keysOf(term.params).flatMap((key, i) => {
    const param = term.params[key];
    const text = param.show(options[key]);
    return i === 0 ? [text] : text === param.show(term.defaults[key]) ? [] : [`${param.name}=${text}`];
  });
  return shown.length === 0 ? term.name : `${term.name}(${shown.join(", ")})`;
};

/** Reads the arguments of a call: positional ones first, then named ones, each at most once. */
export const readTerm = <Options>(term: Term<Options>): (args: ReadonlyArray<Argument>) => E.Either<TermError, Options> => (args) => {
  const keys = keysOf(term.params);
  const given = new Set<keyof Options>();
  let options = term.defaults;
  let named = false;
  for (const [i, { name, column, value }] of args.entries()) {
    const wrong = (allowed: string): E.Either<TermError, never> => E.left({ path: term.name, column, value: name ?? value.text, allowed });
    named = named || name !== null;
    if (name === null && named) return wrong("name=value here: positional arguments come first");
    const key = name === null ? keys[i] : keys.find((k) => term.params[k].name === name || term.params[k].also === name);
    if (key === undefined) return wrong(argumentsOf(term, name));
    if (given.has(key)) return wrong("each argument once");
    const param = term.params[key];
    const read = param.read(value);
    if (O.isNone(read)) {
      return E.left({ path: `${term.name}.${param.name}`, column: value.column, value: value.text, allowed: param.allowed });
    }
    given.add(key);
    options = { ...options, [key]: read.value };
  }
  return E.right(options);
};

/** A term that stands for a policy. */
export const makes = <Options>(term: Term<Options>, make: (options: Options) => Policy): Entry => ({
  ...info(term),
  kind: "policy",
  read: (args) => E.map((options: Options): Made => ({ _tag: "Policy", policy: make(options) }))(readTerm(term)(args)),
});

/** The constructor of a budgeted method: what is not given is the term's default.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { type Budgeted, rows } from "./budget.ts";
 * import { size } from "./param.ts";
 * import { policy } from "./policy.ts";
 * const term: Term<Budgeted<object>> = { name: "newest", about: "", params: { budget: size }, defaults: { budget: rows(64) } };
 * const newest = constructs(term, (o) => policy(showTerm(term)(o), []));
 * assertEquals([newest().text, newest({ rows: 8 }).text], ["newest(64)", "newest(8)"]);
 * ```
 */
export const constructs =
  <Options>(term: Term<Budgeted<Options>>, make: (options: Budgeted<Options>) => Policy): (options?: Sized<Options>) => Policy =>
  (options = {}) => make({ ...term.defaults, ...options, budget: sizeOf(options, term.defaults.budget) });

/** A term that stands for a rewrite of the policy before its bar. */
export const rewrites = <Options>(term: Term<Options>, make: (options: Options) => Rewrite): Entry => ({
  ...info(term),
  kind: "rewrite",
  read: (args) => E.map((options: Options): Made => ({ _tag: "Rewrite", rewrite: make(options) }))(readTerm(term)(args)),
});

function keysOf<Options>(params: Params<Options>): ReadonlyArray<Extract<keyof Options, string>> {
  const keys: Extract<keyof Options, string>[] = [];
  for (const key in params) keys.push(key);
  return keys;
}

const info = <Options>({ name, about, params, defaults }: Term<Options>): Pick<Entry, "name" | "about" | "params"> => ({
  name,
  about,
  params: keysOf(params).map((key) => ({
    name: params[key].name,
    allowed: params[key].allowed,
    fallback: params[key].show(defaults[key]),
  })),
});

function argumentsOf<Options>(term: Term<Options>, name: string | null): string {
  const names = keysOf(term.params).map((key) => term.params[key].name);
  if (names.length === 0) return "no argument";
  return name === null ? `at most ${names.length} arguments: ${names.join(", ")}` : suggest(name, names);
}
