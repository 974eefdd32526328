/**
 * Strict decoders over unknown values: exact keys, own properties only, plain objects and arrays, finite numbers.
 * @module
 */
import * as E from "fp-ts/Either.js";
import type { KvError } from "../cache/error.ts";

/** Reads a value found at a path of the input. */
export type Decoder<A> = (value: unknown, path: string) => E.Either<KvError, A>;

/** One decoder per field. */
export type Fields<A> = { readonly [K in keyof A]-?: Decoder<A[K]> };

/** What `value` is, shortly. */
const show = (value: unknown): string =>
  typeof value === "string"
    ? value.slice(0, 80)
    : Array.isArray(value)
    ? `a list of ${value.length}`
    : typeof value === "object" && value !== null
    ? "an object"
    : String(value);

/** A fault at a path; the whole input is at "json". */
export const fault = (path: string, value: unknown, allowed: string): E.Either<KvError, never> =>
  E.left({ _tag: "InvalidPolicy", path: path === "" ? "json" : path.slice(0, 200), value: show(value), allowed });

/** A finite number. */
export const number: Decoder<number> = (value, path) =>
  typeof value === "number" && Number.isFinite(value) ? E.right(value) : fault(path, value, "a finite number");

/** A string of at most `longest` UTF-16 units. */
export const string = (longest: number): Decoder<string> => (value, path) =>
  typeof value === "string" && value.length <= longest ? E.right(value) : fault(path, value, `a string of at most ${longest} characters`);

/** True or false. */
export const flag: Decoder<boolean> = (value, path) => typeof value === "boolean" ? E.right(value) : fault(path, value, "true or false");

/** One of some words. */
export const word = <A extends string>(...words: ReadonlyArray<A>): Decoder<A> => (value, path) => {
  const found = words.find((w) => w === value);
  return found === undefined ? fault(path, value, words.map((w) => JSON.stringify(w)).join(" or ")) : E.right(found);
};

/** Null, or what `decoder` reads. */
export const nullable = <A>(decoder: Decoder<A>): Decoder<A | null> => (value, path) =>
  value === null ? E.right(null) : decoder(value, path);

/** A number, or what `decoder` reads. */
export const numberOr = <A>(decoder: Decoder<A>): Decoder<number | A> => (value, path) =>
  typeof value === "number" ? number(value, path) : decoder(value, path);

/** A list of at most `longest` items. */
export const list = <A>(item: Decoder<A>, longest: number): Decoder<ReadonlyArray<A>> => (value, path) => {
  if (!Array.isArray(value) || value.length > longest) return fault(path, value, `a list of at most ${longest}`);
  const items: A[] = [];
  for (let i = 0; i < value.length; i++) {
    const read = item(value[i], `${path}[${i}]`);
    if (E.isLeft(read)) return read;
    items.push(read.right);
  }
  return E.right(items);
};

/** A plain object with exactly these fields. */
export const struct = <A>(fields: Fields<A>): Decoder<A> => (value, path) => {
  if (!isPlain(value)) return fault(path, value, "an object");
  const unknownKey = Object.keys(value).find((key) => !Object.hasOwn(fields, key));
  if (unknownKey !== undefined) return fault(path, unknownKey, `the fields ${Object.keys(fields).join(", ")}`);
  const read: Partial<A> = {};
  for (const key in fields) {
    const field = fields[key](Object.hasOwn(value, key) ? value[key] : undefined, path === "" ? key : `${path}.${key}`);
    if (E.isLeft(field)) return field;
    read[key] = field.right;
  }
  // Every field has been read by now.
  return E.right(read as A);
};

/** One of several structs, told apart by `_tag`. */
export const tagged = <A extends { readonly _tag: string }>(
  variants: { readonly [T in A["_tag"]]: Decoder<Extract<A, { readonly _tag: T }>> },
): Decoder<A> => {
  const known = new Map<string, Decoder<A>>(Object.entries<Decoder<A>>(variants));
  return (value, path) => {
    const tag = isPlain(value) && Object.hasOwn(value, "_tag") ? value._tag : undefined;
    const decoder = typeof tag === "string" ? known.get(tag) : undefined;
    return decoder === undefined ? fault(`${path}._tag`, tag, [...known.keys()].join(", ")) : decoder(value, path);
  };
};

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
