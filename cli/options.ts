/**
 * Options of commands as data: what they are called, what they take, and readers that check a value against its range. Help is printed
 * from the same table.
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import * as E from "fp-ts/Either.js";
import type { Either } from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";

/** One option of a command. */
export interface Option {
  readonly name: string;
  readonly kind: "text" | "list" | "flag";
  /** How help names the value. */
  readonly value?: string;
  /** A list that goes on over the arguments behind its first value. */
  readonly rest?: boolean;
  readonly about: string;
}

/** The options that were given. */
export interface Given {
  readonly text: (name: string) => string | null;
  readonly list: (name: string) => ReadonlyArray<string>;
  readonly flag: (name: string) => boolean;
}

/** An `InvalidArgument` error. */
export const invalid = <A>(argument: string, value: string, allowed: string): Either<KvError, A> =>
  E.left({ _tag: "InvalidArgument", argument, value, allowed });

/** Reads arguments by a table of options; Left at the first that the table lacks, and at an option without its value. */
export function readOptions(argv: ReadonlyArray<string>, options: ReadonlyArray<Option>): Either<KvError, Given> {
  const named = (...kinds: ReadonlyArray<Option["kind"]>): string[] =>
    options.filter(({ kind }) => kinds.includes(kind)).map(({ name }) => name);
  const strange: string[] = [];
  const parsed: Readonly<Record<string, unknown>> = parseArgs(spread(argv, options), {
    string: named("text", "list"),
    boolean: named("flag"),
    collect: named("list"),
    unknown: (arg: string) => {
      strange.push(arg);
      return false;
    },
  });
  const allowed = options.map(({ name }) => `--${name}`).join(", ");
  if (strange[0] !== undefined) return invalid(strange[0], strange[0], allowed === "" ? "no argument" : `one of ${allowed}`);
  const textOf = (name: string): string | null => {
    const value = parsed[name];
    return typeof value === "string" ? value : null;
  };
  const listOf = (name: string): ReadonlyArray<string> => {
    const value = parsed[name];
    return Array.isArray(value) ? value.map(String) : [];
  };
  const bare = options.find(({ name, kind }) => (kind === "text" && textOf(name) === "") || (kind === "list" && listOf(name).includes("")));
  if (bare !== undefined) return invalid(`--${bare.name}`, "", `${bare.value ?? "a value"}, written --${bare.name} … or --${bare.name}=…`);
  return E.right({ text: textOf, list: listOf, flag: (name) => parsed[name] === true });
}

/** `--list a b` as `--list a --list b`, for lists that go on. */
function spread(argv: ReadonlyArray<string>, options: ReadonlyArray<Option>): string[] {
  const lists = options.filter(({ rest }) => rest === true).map(({ name }) => `--${name}`);
  const isOption = (arg: string | undefined): boolean => arg === undefined || arg.startsWith("--");
  return argv.flatMap((arg, i) => {
    if (isOption(arg) || isOption(argv[i - 1]) && !argv[i - 1]?.includes("=")) return [arg];
    const option = argv.slice(0, i).findLast(isOption)?.split("=", 1)[0];
    return option !== undefined && lists.includes(option) ? [option, arg] : [arg];
  });
}

/** The value of an option that must be there. */
export function required(given: Given, name: string, allowed: string): Either<KvError, string> {
  const value = given.text(name);
  return value === null ? invalid(`--${name}`, "nothing", allowed) : E.right(value);
}

/** Bounds of a number, both included. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** Most that a count on the command line may be. */
export const MANY: number = 2 ** 31 - 1;

/** A whole number in decimal digits; Left says the range.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(wholeOf("--chunk", "12", { from: 1, to: 4096 }), { _tag: "Right", right: 12 });
 * assertEquals(wholeOf("--chunk", "1e3", { from: 1, to: 4096 })._tag, "Left");
 * ```
 */
export function wholeOf(argument: string, text: string, { from, to }: Range): Either<KvError, number> {
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : NaN;
  return value >= from && value <= to ? E.right(value) : invalid(argument, text, `a whole number from ${from} to ${to}`);
}

/** A decimal number; Left says the range. */
export function numberOf(argument: string, text: string, { from, to }: Range): Either<KvError, number> {
  const value = /^-?(\d+(\.\d*)?|\.\d+)(e-?\d{1,2})?$/i.test(text) ? Number(text) : NaN;
  return value >= from && value <= to ? E.right(value) : invalid(argument, text, `a number from ${from} to ${to}`);
}

/** An option that is a whole number, or what it is when it is not given. */
export const whole = <A>(given: Given, name: string, range: Range, fallback: A): Either<KvError, number | A> => {
  const text = given.text(name);
  return text === null ? E.right(fallback) : wholeOf(`--${name}`, text, range);
};

/** An option that is a number, or what it is when it is not given. */
export const decimal = <A>(given: Given, name: string, range: Range, fallback: A): Either<KvError, number | A> => {
  const text = given.text(name);
  return text === null ? E.right(fallback) : numberOf(`--${name}`, text, range);
};

/** An option that is one of a few words. */
export function oneOf<A extends string>(given: Given, name: string, words: ReadonlyArray<A>, fallback: A): Either<KvError, A> {
  const text = given.text(name);
  const found = words.find((word) => word === text);
  return text === null
    ? E.right(fallback)
    : found === undefined
    ? invalid(`--${name}`, text, `one of ${words.join(", ")}`)
    : E.right(found);
}

/** A comma-separated list of whole numbers. */
export function wholes(argument: string, text: string, range: Range): Either<KvError, ReadonlyArray<number>> {
  const parts = text.split(",").map((part) => wholeOf(argument, part.trim(), range));
  const bad = parts.find(E.isLeft);
  return bad ?? E.right(parts.flatMap((part) => E.isRight(part) ? [part.right] : []));
}

/** The values of several results under their names; Left with the first failure. */
export function all<A extends Readonly<Record<string, unknown>>>(
  parts: { readonly [K in keyof A]: Either<KvError, A[K]> },
): Either<KvError, A> {
  const values: Partial<A> = {};
  for (const name in parts) {
    const part = parts[name];
    if (E.isLeft(part)) return part;
    values[name] = part.right;
  }
  // Every name of `parts` has been given its value.
  return E.right(values as A);
}
